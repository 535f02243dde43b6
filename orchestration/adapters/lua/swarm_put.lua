-- Keep a swarm's state, unless one of a later iteration is kept, and tell who watches.
-- KEYS: the state. ARGV: iteration as eight bytes, high byte first, the state's bytes,
-- for how long, milliseconds, the channel, what to tell there.
-- Returns 1 if it is kept, 0 if not. Texts are compared byte by byte.
local known = redis.call('GETRANGE', KEYS[1], 0, 7)
if #known == 8 and known >= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2], 'PX', ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[5])
return 1

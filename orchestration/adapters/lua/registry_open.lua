-- Have a new epoch hold, if its agents are all here and no epoch holds that is not the
-- one it replaces.
-- KEYS: epoch, the new epoch's meta, its states, its agents.
-- ARGV: the new epoch, the one that it replaces (empty: none), how many agents it has,
--   high and low half of its checksum.
-- Returns the epoch that holds now.
local epoch = redis.call('GET', KEYS[1]) or ''
if epoch ~= ARGV[2] then
  return epoch
end
local sum = redis.call('HMGET', KEYS[2], 'hi', 'lo')
local count = tonumber(ARGV[3])
if redis.call('HLEN', KEYS[3]) ~= count or redis.call('HLEN', KEYS[4]) ~= count
    or sum[1] ~= ARGV[4] or sum[2] ~= ARGV[5] then
  return epoch  -- some of it was lost meanwhile
end
local time = redis.call('TIME')
redis.call('HSET', KEYS[2], 'heard_since_ms', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]

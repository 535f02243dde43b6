-- Prolong the lease of an attempt that is at work.
-- KEYS: held, until. ARGV: partition, attempt, for how long, milliseconds.
-- Returns 1, or 0 if the partition is no longer its own.
local holder = redis.call('HGET', KEYS[1], ARGV[1])
if not holder or string.match(holder, '^%d+') ~= ARGV[2] then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[3]), ARGV[1])
return 1

-- Take in how an attempt at a partition has ended.
-- KEYS: meta, work, forage, scout, retry, held, until, failures, over.
-- ARGV: partition, attempt, how, wait in milliseconds, after how many there is a tick.
-- How: over (nobody is to try it any more), retry (after the wait), back (so too, and it
-- does not count as a failure).
-- Returns how many partitions are left, and 1 if a tick is due; -1 if there is no queue,
-- or it is over.
local meta, held = KEYS[1], KEYS[6]
local partition, how = ARGV[1], ARGV[3]
local state = redis.call('HGET', meta, 'state')
if not state or state == 'over' then
  return {-1, 0}
end
if redis.call('SISMEMBER', KEYS[9], partition) == 1 then
  return {tonumber(redis.call('HGET', meta, 'left')), 0}
end
local holder = redis.call('HGET', held, partition)
local is_mine = holder and string.match(holder, '^%d+') == ARGV[2]
if how ~= 'over' and not is_mine then
  return {tonumber(redis.call('HGET', meta, 'left')), 0}
end
redis.call('HDEL', held, partition)
redis.call('ZREM', KEYS[7], partition)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if how == 'over' then
  redis.call('SADD', KEYS[9], partition)
  redis.call('HINCRBY', meta, 'left', -1)
  redis.call('ZREM', KEYS[2], partition)
  redis.call('ZREM', KEYS[3], partition)
  redis.call('ZREM', KEYS[4], partition)
  redis.call('ZREM', KEYS[5], partition)
else
  redis.call('ZADD', KEYS[5], now + tonumber(ARGV[4]), partition)
  if how == 'retry' then
    redis.call('HINCRBY', KEYS[8], partition, 1)
  end
end
redis.call('HSET', meta, 'moved', now)
local is_due = 0
if how ~= 'back' and redis.call('HINCRBY', meta, 'since', 1) >= tonumber(ARGV[5]) then
  redis.call('HSET', meta, 'since', 0)
  is_due = 1
end
return {tonumber(redis.call('HGET', meta, 'left')), is_due}

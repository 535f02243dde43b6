-- Lease a partition to an agent that asks for one.
-- KEYS: meta, turns, roles, seen, idle, work, forage, scout, retry, held, until, attempts,
--   last, failures.
-- ARGV: agent, its turn, for how long, milliseconds, and for how long retries are left to
--   soldiers.
-- Which partition is worth how much to whom was worked out before; here the best is taken.
-- Soldiers take retries first, others when nothing else is there or one has waited long;
-- none is given to the agent that tried it last.
-- Returns what there is: absent (the queue has to be built), stale (another message has
-- this agent's turn), dead, idle, paused, over, late; or leased, the partition, the
-- attempt, the agent's next turn, and how often it has failed before.
local meta, turns, seen, idle = KEYS[1], KEYS[2], KEYS[4], KEYS[5]
local retry, held = KEYS[9], KEYS[10]
local agent, turn = ARGV[1], ARGV[2]

local state = redis.call('HGET', meta, 'state')
if not state then
  return {'absent'}
end
if redis.call('HGET', turns, agent) ~= turn then
  return {'stale'}
end
local role = redis.call('HGET', KEYS[3], agent)
if not role then
  return {'dead'}
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', seen, agent, now)

local function rest(why)
  redis.call('SADD', idle, agent)
  return {why}
end

if state ~= 'open' then
  return rest(state)
end
local deadline = tonumber(redis.call('HGET', meta, 'deadline'))
if deadline > 0 and now >= deadline then
  return rest('late')
end

local function due(before)
  local found = redis.call('ZRANGEBYSCORE', retry, '-inf', before, 'LIMIT', 0, 16)
  for _, one in ipairs(found) do
    if redis.call('HGET', KEYS[13], one) ~= agent then
      return one
    end
  end
  return nil
end

local order = KEYS[6]
if role == 'FORAGER' then
  order = KEYS[7]
elseif role == 'SCOUT' then
  order = KEYS[8]
end
local partition = nil
if role == 'SOLDIER' then
  partition = due(now)
else
  partition = due(now - tonumber(ARGV[4]))
end
if not partition then
  partition = redis.call('ZREVRANGE', order, 0, 0)[1] or due(now)
end
if not partition then
  return rest('idle')
end

redis.call('ZREM', KEYS[6], partition)
redis.call('ZREM', KEYS[7], partition)
redis.call('ZREM', KEYS[8], partition)
redis.call('ZREM', retry, partition)
local attempt = redis.call('HINCRBY', KEYS[12], partition, 1)
redis.call('HSET', held, partition, attempt .. ' ' .. agent)
redis.call('ZADD', KEYS[11], now + tonumber(ARGV[3]), partition)
redis.call('HSET', KEYS[13], partition, agent)
redis.call('HSET', meta, 'moved', now)
local following = redis.call('HINCRBY', turns, agent, 1)
local failures = tonumber(redis.call('HGET', KEYS[14], partition) or 0)
return {'leased', tonumber(partition), attempt, following, failures}

-- Take in changes of agents that are newer than what is known, and tell all replicas.
-- KEYS: epoch, meta, states, agents, beats, graves, deltas.
-- ARGV: epoch, most deltas kept, then six for each change:
--   kind (put, status, gone), agent, state, document, high and low half of its digest;
--   a state is a text that begins with the version.
-- Returns the epoch that holds (if it is not the caller's, nothing was done) and how
-- many changes were new.
local TWO_32 = 4294967296
local MOST_GRAVES = 20000

local epoch = redis.call('GET', KEYS[1]) or ''
if epoch ~= ARGV[1] then
  return {epoch, 0}
end

-- The sum of all digests, modulo 2^64 in two halves: a number here has 53 bits.
local sum = redis.call('HMGET', KEYS[2], 'hi', 'lo')
local hi, lo = tonumber(sum[1]) or 0, tonumber(sum[2]) or 0

local function add(high, low)
  lo = lo + low
  if lo >= TWO_32 then
    lo, high = lo - TWO_32, high + 1
  end
  hi = (hi + high) % TWO_32
end

local function take(high, low)
  lo = lo - low
  if lo < 0 then
    lo, high = lo + TWO_32, high + 1
  end
  hi = (hi - high) % TWO_32
end

local told = {}
for at = 3, #ARGV, 6 do
  local kind, agent, state, document = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local version = tonumber(string.match(state, '^%d+'))
  local known = redis.call('HGET', KEYS[3], agent)
  local newest = tonumber(redis.call('HGET', KEYS[6], agent)) or 0
  if known then
    newest = math.max(newest, tonumber(string.match(known, '^%d+')))
  end
  if version > newest and (known or kind ~= 'status') then
    if known then
      local high, low = string.match(known, '(%d+) (%d+)$')
      take(tonumber(high), tonumber(low))
    end
    if kind == 'gone' then
      for nth = 3, 5 do
        redis.call('HDEL', KEYS[nth], agent)
      end
      -- So that a change of before does not bring it back.
      if redis.call('HLEN', KEYS[6]) >= MOST_GRAVES then
        redis.call('DEL', KEYS[6])
      end
      redis.call('HSET', KEYS[6], agent, version)
    else
      if kind == 'put' then
        redis.call('HSET', KEYS[4], agent, document)
        redis.call('HDEL', KEYS[6], agent)
      end
      local high, low = ARGV[at + 4], ARGV[at + 5]
      redis.call('HSET', KEYS[3], agent, state .. ' ' .. high .. ' ' .. low)
      add(tonumber(high), tonumber(low))
    end
    if document == '' then
      document = 'null'
    end
    told[#told + 1] = '["' .. kind .. '","' .. agent .. '","' .. state .. '",' .. document .. ']'
  end
end

if #told > 0 then
  local nth = redis.call('HINCRBY', KEYS[2], 'deltas', 1)
  redis.call('HSET', KEYS[2], 'hi', string.format('%.0f', hi), 'lo', string.format('%.0f', lo))
  redis.call('XADD', KEYS[7], 'MAXLEN', '~', ARGV[2], '*', 'nth', nth,
    'changes', '[' .. table.concat(told, ',') .. ']')
end
return {epoch, #told}

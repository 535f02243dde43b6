-- Take in heartbeats of agents that are known, stamped with this server's time.
-- KEYS: epoch, meta, states, beats, deltas.
-- ARGV: epoch, most deltas kept, sender, number of its message, then three for each
--   heartbeat: agent, the packed heartbeat but for its time (24 bytes), until when it
--   counts by this server's time, milliseconds (0: always).
-- A sender numbers its messages: of one that comes twice, or late, nothing counts. A
-- sender without a name has no numbers, and all counts.
-- Returns the epoch that holds (if it is not the caller's, nothing was done), the time
-- in milliseconds, the agents that are not known, and how many came too late.
local epoch = redis.call('GET', KEYS[1]) or ''
if epoch ~= ARGV[1] then
  return {epoch, 0, {}, 0}
end

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local stamp = struct.pack('<i8', now_ms)
local sender, number = ARGV[3], tonumber(ARGV[4])
local unknown, agents, blobs, late = {}, {}, {}, 0
for at = 5, #ARGV, 3 do
  local agent, until_ms = ARGV[at], tonumber(ARGV[at + 2])
  if redis.call('HEXISTS', KEYS[3], agent) == 0 then
    unknown[#unknown + 1] = agent
  elseif until_ms > 0 and until_ms < now_ms then
    late = late + 1
  else
    local is_new = true
    if sender ~= '' then
      local before = redis.call('HGET', KEYS[4], agent)
      local from, nth = string.match(string.sub(before or '', 33), '^(%w+) (%d+)$')
      is_new = from ~= sender or number > tonumber(nth)
    end
    if is_new then
      local blob = stamp .. ARGV[at + 1]
      local mark = ''
      if sender ~= '' then
        mark = sender .. ' ' .. ARGV[4]
      end
      redis.call('HSET', KEYS[4], agent, blob .. mark)
      agents[#agents + 1] = agent
      blobs[#blobs + 1] = blob
    end
  end
end

if #agents > 0 then
  local nth = redis.call('HINCRBY', KEYS[2], 'deltas', 1)
  redis.call('XADD', KEYS[5], 'MAXLEN', '~', ARGV[2], '*', 'nth', nth,
    'agents', table.concat(agents, '\n'), 'beats', table.concat(blobs))
end
return {epoch, now_ms, unknown, late}

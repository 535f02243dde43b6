-- Remove keys of epochs that do not hold, unless another epoch holds by now.
-- KEYS: epoch, then what is removed.
-- ARGV: the epoch that held when these keys were looked up.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  for at = 2, #KEYS do
    redis.call('UNLINK', KEYS[at])
  end
end

-- hash: reading a task's hash, which may be missing or no hash at all, and what its states mean.
--
-- USES  nothing

-- What HMGET answered of a key (values), if the key is a hash; else nil and why: 'missing' or 'wrong type'. Raises any other
-- error of HMGET.
function hash.of_reply(key, values)
  if values[1] or values[2] then return values end      -- the usual case first
  if values.err then
    if string.find(tostring(values.err), 'WRONGTYPE', 1, true) then return nil, 'wrong type' end
    error(values)
  end
  for i = 1, #values do
    if values[i] then return values end
  end
  if redis.call('EXISTS', key) == 0 then return nil, 'missing' end
  return values
end

-- The same for some fields, which it reads.
function hash.read(key, ...) return hash.of_reply(key, redis.pcall('HMGET', key, ...)) end

-- A task without a state was written by a raw producer: it is scheduled.
function hash.state_of(value)
  return value or 'scheduled'
end

hash.LIVE = {scheduled = true, held = true, ready = true, running = true}
hash.FINISHED = {completed = true, skipped = true, expired = true, cancelled = true}

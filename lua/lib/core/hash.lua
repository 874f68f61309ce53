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

-- The queue that a task was moved to, if this is the note that it left in its old queue; else nil. Only move writes such a
-- reason of a skipped task.
function hash.moved_to(state, reason)
  return state == 'skipped' and string.match(reason or '', '^moved to (.+)$') or nil
end

-- What a verb for tasks that wait answers of one that runs or has ended: running, moved or finished.
function hash.refusal(state, reason)
  return state == 'running' and state or hash.moved_to(state, reason) and 'moved' or 'finished'
end

-- Whether a key is that of such a note.
function hash.is_note(key)
  local found = redis.pcall('HMGET', key, 'state', 'reason')
  return not found.err and hash.moved_to(found[1], found[2]) ~= nil
end

hash.LIVE = {scheduled = true, held = true, ready = true, running = true}
hash.FINISHED = {completed = true, skipped = true, expired = true, cancelled = true}

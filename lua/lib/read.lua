-- read: fields of a task's hash, which may be missing or no hash at all.
-- Answers nil and 'missing' or 'wrong type'; any other error (a cluster moving, say) ends the script.

local function read(key, ...)
  local values = redis.pcall('HMGET', key, ...)
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

-- A task without a state was written by a raw producer: it is scheduled.
local function state_of(value)
  return value or 'scheduled'
end

-- read: fields of a task's hash, which may be missing or no hash at all.
-- Answers nil and 'missing' or 'wrong type'; any other error (a cluster moving, say) ends the script.

-- values: what HMGET answered, or its error.
local function readable(key, values)
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

local function read(key, ...) return readable(key, redis.pcall('HMGET', key, ...)) end

-- A key of a wrong type, or a stream without its group, holds nothing; any other error ends the script.
local function soft(...)
  local found = redis.pcall(...)
  if type(found) ~= 'table' or not found.err then return found end
  local problem = tostring(found.err)
  if not (string.find(problem, 'WRONGTYPE', 1, true) or string.find(problem, 'NOGROUP', 1, true)) then error(found) end
end

-- The earliest score of a set in whole ms, at least 0 and no more than a reply can hold; -1 where the set is empty.
local function earliest(set)
  local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')
  return first[2] and math.floor(math.max(0, math.min(tonumber(first[2]), 9e15))) or -1
end

-- A task without a state was written by a raw producer: it is scheduled.
local function state_of(value)
  return value or 'scheduled'
end

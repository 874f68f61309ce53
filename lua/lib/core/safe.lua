-- safe: commands on keys that may have another type than they should, without an error of the script for that.
--
-- USES  nothing

-- Call a command. Answers nil if the key has a wrong type or a stream lacks its group; any other error ends the script.
function safe.call(...)
  local found = redis.pcall(...)
  if type(found) ~= 'table' or not found.err then return found end
  local problem = tostring(found.err)
  if not (string.find(problem, 'WRONGTYPE', 1, true) or string.find(problem, 'NOGROUP', 1, true)) then error(found) end
end

-- The earliest score of a set in whole ms, at least 0 and no more than a reply can hold; -1 if the set is empty.
function safe.earliest(set)
  local first = redis.call('ZRANGE', set, '0', '0', 'WITHSCORES')   -- texts: Redis converts numbers slowly
  return first[2] and math.floor(math.max(0, math.min(tonumber(first[2]), 9e15))) or -1
end

function safe.type_of(key)
  local found = redis.call('TYPE', key)
  return type(found) == 'table' and found.ok or found
end

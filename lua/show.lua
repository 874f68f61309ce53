-- show: everything that is known of up to 100 tasks.
--
-- KEYS   due    zset    {namespace}:due:<queue>
-- ARGV   id...  string  1..100 ids
-- REPLY  {task...}      for each: {fields of its hash (field, value, ...), score in due, score in running, fields of its
--                       outcome}; scores '' where it is not there; {} where there is no such task, or its key is no hash
-- FLAGS  no-writes
-- USES   keys, safe

local q = keys.open(KEYS[1])
local function score(set, id)
  return safe.call('ZSCORE', set, id) or ''
end

local reply = {}
for i = 1, math.min(#ARGV, 100) do
  local id = ARGV[i]
  local found = keys.is_id(id) and redis.pcall('HGETALL', q.task .. id) or {}
  if found.err or #found == 0 then
    reply[i] = {}
  else
    local outcome = redis.pcall('HGETALL', q.outcome .. id)
    reply[i] = {found, score(q.due, id), score(q.running, id), outcome.err and {} or outcome}
  end
end
return reply

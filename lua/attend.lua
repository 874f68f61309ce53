-- attend: work off a part of what the mover has to look at: ends of holds, events with many listeners, tasks that others come
-- after, pauses that are over.
--
-- KEYS   agenda  zset  {namespace}:agenda
-- ARGV   now     int   0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   limit   int   1..500, bounds how long Redis is held: a task looked at alone counts as two, one of a crowd as one
-- REPLY  {now, done, next}  ms; how much of the limit was used; when there is more to do, ms (0: at once; -1: nothing is left)
-- FLAGS  allow-oom
-- USES   clock, keys, read, drain, agenda

local agenda, limit = KEYS[1], math.max(1, math.min(tonumber(ARGV[2]), 500))
local prefix = string.match(agenda, '^({[^{}]+}:)agenda$')
if not prefix then return redis.error_reply('RS_KEYS the key must be {namespace}:agenda') end
local now, done = clock(prefix, ARGV[1]), 0
drain(open(prefix .. 'due:default'))

-- What concerns a key of a wrong type waits a minute, what concerns no queue goes: neither holds up the rest.
local function looked_at(look, ...)
  local ok, used, again = pcall(look, ...)
  if ok then return used, again end
  local problem = type(used) == 'table' and tostring(used.err) or tostring(used)
  if string.find(problem, 'RS_KEYS', 1, true) then return 1 end
  if not string.find(problem, 'WRONGTYPE', 1, true) then error(used) end
  return 1, now + 60000
end

for _, item in ipairs(redis.call('ZRANGE', agenda, '-inf', now, 'BYSCORE', 'LIMIT', 0, 32)) do
  local kind, what = string.match(item, '^(%a+)/(.+)$')
  local used, again = 0, nil
  if done >= limit then break end
  if AGENDA[kind or ''] then
    used, again = looked_at(AGENDA[kind], prefix, what, limit - done, now)
  elseif kind then
    again = now + 60000                                 -- a newer redsched may know what it is
  end
  done = done + math.max(used, 1)
  if again then
    redis.call('ZADD', agenda, text(again), item)       -- behind those that came meanwhile
  else
    redis.call('ZREM', agenda, item)
  end
end
return {now, done, earliest(agenda)}

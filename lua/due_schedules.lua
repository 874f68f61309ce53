-- due_schedules: the schedules that have to be looked at now, earliest first, with all that is known of them.
--
-- KEYS   schedules    zset  {namespace}:schedules
-- ARGV   now          int   0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   limit        int   1..500
-- REPLY  {now, next, calendars, schedule...}  next: when the earliest of the others is looked at (ms; -1: none); calendars:
--                           grows with each change of a calendar; each schedule {id, field, value, ...}; {id} where its hash is
--                           gone. A long payload is left out, and fewer are told where they are large: then next is now
-- FLAGS  no-writes
-- USES   budget, clock, check, safe, schedules

local prefix = schedules.prefix_of(KEYS[1])
local now, limit = clock.now(prefix, ARGV[1]), math.max(1, math.min(tonumber(ARGV[2]), 500))
local ids = redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE', 'LIMIT', 0, limit + 1)
local following = redis.call('ZRANGE', KEYS[1], '(' .. clock.text(now), '(' .. clock.text(schedules.NEVER), 'BYSCORE',
  'LIMIT', 0, 1, 'WITHSCORES')
local first = following[2] and math.floor(tonumber(following[2])) or -1
if #ids > limit then first = now end

-- A long payload is left out: whoever decides when to fire does not need it.
local LONG = 4096
local function due_line(key, id)
  local line, flat = {id}, nil
  if (safe.call('HSTRLEN', key, 'task:payload') or 0) <= LONG then
    flat = safe.call('HGETALL', key) or {}
    for n = 1, #flat do line[n + 1] = flat[n] end
    for n = 2, #line do budget.spend(#line[n] / 16384) end
    budget.spend(0.5)
    return line
  end
  for _, name in ipairs(redis.call('HKEYS', key)) do
    local value = name ~= 'task:payload' and redis.call('HGET', key, name)
    if value then line[#line + 1], line[#line + 2] = name, value end
    budget.spend(0.25 + #(value or '') / 16384)
  end
  return line
end
local reply = {now, first, check.whole(safe.call('HGET', prefix .. 'calendars', schedules.CHANGES) or '', 0, 1e15) or 0}
for i = 1, math.min(#ids, limit) do
  if budget.is_spent() then
    reply[2] = now
    break
  end
  reply[#reply + 1] = due_line(prefix .. 'schedule:' .. ids[i], ids[i])
end
return reply

-- due_schedules: the schedules that have to be looked at now, earliest first, with all that is known of them.
--
-- KEYS   schedules    zset  {namespace}:schedules
-- ARGV   now          int   0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   limit        int   1..500
-- REPLY  {now, next, calendars, schedule...}  next: when the earliest of the others is looked at (ms; -1: none); calendars: grows
--                           with each change of a calendar; each schedule {id, field, value, ...}; {id} where its hash is gone
-- FLAGS  no-writes
-- USES   clock, check, read, schedule

local prefix = prefix_of(KEYS[1])
local now, limit = clock(prefix, ARGV[1]), math.max(1, math.min(tonumber(ARGV[2]), 500))
local ids = redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE', 'LIMIT', 0, limit + 1)
local following = redis.call('ZRANGE', KEYS[1], '(' .. text(now), '(' .. text(NEVER), 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
local first = following[2] and math.floor(tonumber(following[2])) or -1
if #ids > limit then first = now end
local reply = {now, first, whole(soft('HGET', prefix .. 'calendars', CHANGES) or '', 0, 1e15) or 0}
for i = 1, math.min(#ids, limit) do
  local flat, line = soft('HGETALL', prefix .. 'schedule:' .. ids[i]) or {}, {ids[i]}
  for n = 1, #flat do line[n + 1] = flat[n] end
  reply[#reply + 1] = line
end
return reply

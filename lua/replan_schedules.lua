-- replan_schedules: have those schedules looked at whose slots a changed calendar or another release of tzdata may move.
--
-- KEYS   schedules  zset    {namespace}:schedules
-- ARGV   now        int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   changes    int     which change of the calendars, as due_schedules told it
-- ARGV   release    string  of tzdata, by which the caller computes slots; such as 2026c
-- ARGV   cursor     string  '', then what the last call answered
-- REPLY  {cursor, n}        '': all are done; n: those that will be looked at now
-- FLAGS  allow-oom
-- USES   clock, keys, check, hash, safe, memory, schedules, calendar_changes

local key, prefix, n = KEYS[1], schedules.prefix_of(KEYS[1]), 0
local changes, release, cursor = ARGV[2], string.sub(ARGV[3] or '', 1, 32), ARGV[4] or ''
clock.now(prefix, ARGV[1])
if not check.whole(changes or '', 0, 1e15) then return redis.error_reply('RS_INVALID 1 changes must be a whole number') end
if not string.find(cursor, '^%d*$') or #cursor > 20 then
  return redis.error_reply('RS_INVALID 1 cursor must be an answer of this verb')
end
local done = safe.call('HGET', prefix .. 'calendars', schedules.PLANNED) or ''
if done == changes .. '/' .. release then return {'', 0} end
local only_calendars = string.match(done, '/(.*)$') == release
memory.drain({due = key})
local changed = calendar_changes.first(prefix)
local page = safe.call('ZSCAN', key, cursor == '' and '0' or cursor, 'COUNT', 100) or {'0', {}}
for i = 1, #page[2], 2 do
  local id, score = page[2][i], tonumber(page[2][i + 1])
  local at, f = prefix .. 'schedule:' .. id, {}
  local found = keys.is_name(id) and score and hash.read(at, unpack(calendar_changes.FIELDS)) or {}
  for n, name in ipairs(calendar_changes.FIELDS) do f[name] = found[n] or nil end
  local spec, from = f.spec or '', calendar_changes.search_from(f, changed)   -- of one that is paused, too
  local moved = calendar_changes.concern(spec)
  for _, timing in ipairs(only_calendars and {} or {'"cron"', '"calendar"', '"rrule"'}) do
    moved = moved or string.find(spec, timing, 1, true)
  end
  if moved and score > 0 and score < schedules.NEVER then
    redis.call('ZADD', key, 'XX', '0', id)
    n = n + 1
  end
  if from then redis.call('HSET', at, 'slot', from) end
end
if page[1] == '0' then
  redis.call('HSET', prefix .. 'calendars', schedules.PLANNED, changes .. '/' .. release)
  if safe.call('HGET', prefix .. 'calendars', schedules.CHANGES) == changes then   -- else there was another one meanwhile
    redis.call('HDEL', prefix .. 'calendars', calendar_changes.SINCE)
  end
end
return {page[1] == '0' and '' or page[1], n}

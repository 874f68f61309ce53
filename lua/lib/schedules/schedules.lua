-- schedules: a recurring definition: its hash, and the set that says when each is looked at next.
--
-- USES  clock, keys, check, events

schedules.NEVER = 9e15                                  -- the score of one that is paused or has ended
schedules.OVERLAPS = {skip = true, buffer_one = true, buffer_all = true, cancel_other = true, terminate_other = true,
  allow_all = true}
schedules.REMEMBERED = 10                               -- runs
schedules.CHANGES = ':changes'                          -- no calendar's name: the field that counts the changes of calendars
schedules.PLANNED = ':planned'                          -- no name either: up to which change all next slots are planned
local LISTS = {'open', 'buffer', 'recent'}              -- fields that hold runs, with spaces between them

function schedules.prefix_of(key)
  local prefix = string.match(key or '', '^({[^{}]+}:)schedules$')
  if not prefix then error({err = 'RS_KEYS the key must be {namespace}:schedules'}) end
  return prefix
end

function schedules.decoded(text)
  local ok, value = pcall(cjson.decode, text or '')
  return ok and type(value) == 'table' and value or {}
end

-- A field that counts; 0 if its value is no number.
function schedules.counter(s, name)
  return check.whole(s.f[name] or '', 0, 1e15) or 0
end

function schedules.queue_of(s)
  return keys.is_name(s.f.queue) and s.f.queue or 'default'
end

-- A schedule of which nothing is stored.
function schedules.blank(prefix, id)
  local s = {id = id, key = prefix .. 'schedule:' .. id, prefix = prefix, f = {}, changed = {}, spec = {}, made = 0}
  for _, name in ipairs(LISTS) do s[name] = {} end
  return s
end

-- A run that waits is open as well if the call that started it stopped half-way. If its task is there, it waits no more: later
-- the task may be over and gone, and the slot would be made again.
local function leave_made(s)
  local waits = string.match(s.buffer[1] or '', '^(.+)/%d+$')
  if not waits or waits ~= s.open[#s.open] then return end
  local task = s.prefix .. 'task:' .. schedules.queue_of(s) .. ':' .. s.id .. '@' .. waits
  if redis.call('EXISTS', task) == 1 then table.remove(s.buffer, 1) end
end

-- The schedule with its fields in f, its timing in spec and its lists; nil if there is none.
function schedules.read(prefix, id)
  if not keys.is_name(id) then return nil end
  local s = schedules.blank(prefix, id)
  local flat = redis.pcall('HGETALL', s.key)
  if flat.err then
    if string.find(tostring(flat.err), 'WRONGTYPE', 1, true) then return nil end
    error(flat)
  end
  if #flat == 0 then return nil end
  for i = 1, #flat, 2 do if flat[i + 1] ~= '' then s.f[flat[i]] = flat[i + 1] end end   -- an empty one is as good as removed
  s.spec = schedules.decoded(s.f.spec)
  for _, name in ipairs(LISTS) do s[name] = check.words(string.sub(s.f[name] or '', 1, 8000)) end
  leave_made(s)
  return s
end

-- Note a field that schedules.save will write; nil or '' removes it.
function schedules.set(s, name, value)
  value = value or ''
  if value == (s.f[name] or '') then return end
  s.f[name], s.changed[name] = value ~= '' and value or nil, value
end

-- Everything is in one write, what is removed as an empty text: a schedule that has lost its next slot and has not ended yet
-- would begin anew, and one that has lost a run that waits, and not entered it as open, would start another beside it.
function schedules.save(s)
  while #s.recent > schedules.REMEMBERED do table.remove(s.recent, 1) end
  for _, name in ipairs(LISTS) do schedules.set(s, name, table.concat(s[name], ' ')) end
  local gone, news = {}, {}
  for name, value in pairs(s.changed) do
    news[#news + 1], news[#news + 2] = name, value
    if value == '' then gone[#gone + 1] = name end
  end
  if #news > 0 then redis.call('HSET', s.key, unpack(news)) end
  if #gone > 0 then redis.call('HDEL', s.key, unpack(gone)) end
  s.changed = {}
end

function schedules.look_at(s, at)
  redis.call('ZADD', s.prefix .. 'schedules', clock.text(check.in_range(at, 0, schedules.NEVER) or schedules.NEVER), s.id)
end

-- Count what became of slots, and tell of it; named is the counter: missed, skipped or dropped.
function schedules.tell_slots(q, s, named, n, reason, slot)
  if n <= 0 then return end
  schedules.set(s, named, clock.text(schedules.counter(s, named) + n))
  events.tell(q, 'slot_' .. named, s.id, 'reason', reason, 'n', n, 'slot', slot)
end
function schedules.pause(q, s, now, reason, till)
  schedules.set(s, 'paused', string.sub(reason, 1, 200))
  schedules.set(s, 'paused_at', clock.text(now))
  schedules.set(s, 'paused_until', till and clock.text(till))
  schedules.save(s)
  schedules.look_at(s, till or schedules.NEVER)
  events.tell(q, 'schedule_paused', s.id, 'reason', reason)
end

-- End a pause. resumed: from when slots count again; earlier ones count as missed.
function schedules.resume(q, s, resumed)
  schedules.set(s, 'paused')
  schedules.set(s, 'paused_at')
  schedules.set(s, 'paused_until')
  schedules.set(s, 'resumed', clock.text(resumed))
  events.tell(q, 'schedule_resumed', s.id)
end

-- Remove a schedule for good.
function schedules.drop(s)
  redis.call('UNLINK', s.key)
  redis.call('ZREM', s.prefix .. 'schedules', s.id)
  events.tell(keys.open(s.prefix .. 'due:' .. schedules.queue_of(s)), 'schedule_dropped', s.id)
end

function schedules.look_sooner(s, at)
  redis.call('ZADD', s.prefix .. 'schedules', 'LT', clock.text(at), s.id)
end

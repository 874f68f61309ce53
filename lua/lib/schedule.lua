-- schedule: a recurring definition: its hash, and the set that says when each is looked at next.

local NEVER = 9e15                                      -- the score of one that is paused or has ended
local OVERLAP = {skip = true, buffer_one = true, buffer_all = true, cancel_other = true, terminate_other = true,
  allow_all = true}
local REMEMBERED = 10                                   -- runs
local CHANGES = ':changes'                              -- no name: the field of the calendars that counts them
local REPLANNED = ':planned'                              -- neither: by which of them all next slots were planned
local LISTS = {'open', 'buffer', 'recent'}              -- fields that hold runs, with spaces between them

local function prefix_of(key)
  local prefix = string.match(key or '', '^({[^{}]+}:)schedules$')
  if not prefix then error({err = 'RS_KEYS the key must be {namespace}:schedules'}) end
  return prefix
end

local function decoded(text)
  local ok, value = pcall(cjson.decode, text or '')
  return ok and type(value) == 'table' and value or {}
end

-- A field that counts; 0 where somebody wrote what is no number.
local function counted(s, name)
  return whole(s.f[name] or '', 0, 1e15) or 0
end

local function home_of(s)
  return is_name(s.f.queue) and s.f.queue or 'default'
end

-- The schedule with its fields in f, its timing in spec and its lists; nil where there is none.
local function read_schedule(prefix, id)
  if not is_name(id) then return nil end
  local s = {id = id, key = prefix .. 'schedule:' .. id, prefix = prefix, f = {}, changed = {}, made = 0}
  local flat = redis.pcall('HGETALL', s.key)
  if flat.err then
    if string.find(tostring(flat.err), 'WRONGTYPE', 1, true) then return nil end
    error(flat)
  end
  if #flat == 0 then return nil end
  for i = 1, #flat, 2 do s.f[flat[i]] = flat[i + 1] end
  s.spec = decoded(s.f.spec)
  for _, name in ipairs(LISTS) do s[name] = words(string.sub(s.f[name] or '', 1, 8000)) end
  return s
end

-- Note a field to be written by save_schedule; nil or '' removes it.
local function set_field(s, name, value)
  value = value or ''
  if value == (s.f[name] or '') then return end
  s.f[name], s.changed[name] = value ~= '' and value or nil, value
end

local function save_schedule(s)
  while #s.recent > REMEMBERED do table.remove(s.recent, 1) end
  for _, name in ipairs(LISTS) do set_field(s, name, table.concat(s[name], ' ')) end
  local gone, news = {}, {}
  for name, value in pairs(s.changed) do
    if value == '' then gone[#gone + 1] = name else news[#news + 1], news[#news + 2] = name, value end
  end
  if #gone > 0 then redis.call('HDEL', s.key, unpack(gone)) end
  if #news > 0 then redis.call('HSET', s.key, unpack(news)) end
  s.changed = {}
end

local function look_again(s, at)
  redis.call('ZADD', s.prefix .. 'schedules', text(sane(at, 0, NEVER) or NEVER), s.id)
end

-- Count what became of slots, and tell of it; named is the counter: missed, skipped or dropped.
local function tell_slots(q, s, named, n, reason, slot)
  if n <= 0 then return end
  set_field(s, named, text(counted(s, named) + n))
  event(q, 'slot_' .. named, s.id, 'reason', reason, 'n', n, 'slot', slot)
end

-- stats: depths of queues, counted now, what waits longest in them, and their totals.
--
-- KEYS   due...  zset    {namespace}:due:<queue>, 1..100 queues
-- ARGV   now     int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- REPLY  {queue...}      for each: {scheduled, held, ready, running, finished, dead, quarantined, oldest due age (ms; -1: none
--                        is due), next due time (ms; -1: none), {total, n, ...}, {lateness bucket, n, ...} of the current
--                        and the last minute, most finished and most dead tasks kept (-1: no cap)}
-- FLAGS  no-writes
-- USES   clock, keys, check, read, stats, caps, ready, finish

local queues = open_all(KEYS)
local now = clock(queues[1].prefix, ARGV[1])

local function lateness(q, minute)
  local fields = {}
  for i = 1, #LATENESS do fields[i] = LATENESS.names[i] end
  fields[#fields + 1] = 'late_more'
  return fields, soft('HMGET', q.stats .. ':' .. string.format('%.0f', minute), unpack(fields)) or {}
end

-- A counter; 0 where somebody wrote what is no number.
local function counted_of(value) return whole(value or '', 0, 1e15) or 0 end

-- When the oldest task that could run by now became due; nil where none is.
local function oldest_due(q, now)
  local sound, next_due = pcall(earliest, q.due)
  if not sound then next_due = -1 end
  local oldest = next_due >= 1e11 and next_due <= now and next_due or nil
  for _, priority in ipairs(PRIORITIES) do
    local entry = (soft('XRANGE', stream_of(q, priority), '-', '+', 'COUNT', 1) or {})[1]
    if entry then
      local found = is_id(entry[2][2]) and read(q.task .. entry[2][2], 'due_at')
      local due_at = found and whole(found[1] or '', 1e11, 4e12) or tonumber(string.match(entry[1], '^%d+'))
      oldest = math.min(oldest or due_at, due_at)
    end
  end
  return oldest and math.max(now - oldest, 0) or -1, next_due
end

local function size(set) return soft('ZCARD', set) or 0 end

local reply = {}
for i, q in ipairs(queues) do
  local ready = 0
  for _, priority in ipairs(PRIORITIES) do ready = ready + (soft('XLEN', stream_of(q, priority)) or 0) end
  local age, next_due = oldest_due(q, now)
  local minute = math.floor(now / 60000)
  local fields, current = lateness(q, minute)
  local _, last = lateness(q, minute - 1)
  local late, totals = {}, soft('HGETALL', q.stats) or {}
  for n = 2, #totals, 2 do totals[n] = text(counted_of(totals[n])) end
  for n = 1, #fields do
    late[#late + 1] = fields[n]
    late[#late + 1] = counted_of(current[n]) + counted_of(last[n])
  end
  reply[i] = {size(q.due), size(q.held), ready, size(q.running), size(q.finished), size(q.dead), size(q.quarantine), age,
    next_due, totals, late, CAPS.told(q, 'most_finished'), CAPS.told(q, 'most_dead')}
end
return reply

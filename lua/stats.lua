-- stats: depths of queues, counted now, what waits longest in them, and their totals.
--
-- KEYS   due...  zset    {namespace}:due:<queue>, 1..100 queues
-- ARGV   now     int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- REPLY  {queue...}      for each: {scheduled, held, ready, running, finished, dead, quarantined, oldest due age (ms; -1: none
--                        is due), next due time (ms; -1: none), {total, n, ...}, {lateness bucket, n, ...} of the current
--                        and the last minute, most finished and most dead tasks kept (-1: no cap)}
-- FLAGS  no-writes
-- USES   clock, keys, check, safe, hash, stats, caps, streams

local queues = keys.open_all(KEYS)
local now = clock.now(queues[1].prefix, ARGV[1])

local function lateness(q, minute)
  local names = {}
  for i = 1, #stats.LATENESS do names[i] = stats.LATENESS.names[i] end
  names[#names + 1] = 'late_more'
  return names, safe.call('HMGET', q.stats .. ':' .. string.format('%.0f', minute), unpack(names)) or {}
end

-- A counter; 0 if its value is no number.
local function counted_of(value) return check.whole(value or '', 0, 1e15) or 0 end

-- When the oldest task that could run by now became due; nil if there is none.
local function oldest_due(q, now)
  local sound, next_due = pcall(safe.earliest, q.due)
  if not sound then next_due = -1 end
  local oldest = next_due >= 1e11 and next_due <= now and next_due or nil
  for _, priority in ipairs(streams.PRIORITIES) do
    local entry = (safe.call('XRANGE', streams.of(q, priority), '-', '+', 'COUNT', 1) or {})[1]
    if entry then
      local found = keys.is_id(entry[2][2]) and hash.read(q.task .. entry[2][2], 'due_at')
      local due_at = found and check.whole(found[1] or '', 1e11, 4e12) or tonumber(string.match(entry[1], '^%d+'))
      oldest = math.min(oldest or due_at, due_at)
    end
  end
  return oldest and math.max(now - oldest, 0) or -1, next_due
end

local function size(set) return safe.call('ZCARD', set) or 0 end

local reply = {}
for i, q in ipairs(queues) do
  local ready = 0
  for _, priority in ipairs(streams.PRIORITIES) do ready = ready + (safe.call('XLEN', streams.of(q, priority)) or 0) end
  local age, next_due = oldest_due(q, now)
  local minute = math.floor(now / 60000)
  local names, current = lateness(q, minute)
  local _, last = lateness(q, minute - 1)
  local lateness_of_both, totals = {}, safe.call('HGETALL', q.stats) or {}
  for n = 2, #totals, 2 do totals[n] = clock.text(counted_of(totals[n])) end
  for n = 1, #names do
    lateness_of_both[#lateness_of_both + 1] = names[n]
    lateness_of_both[#lateness_of_both + 1] = counted_of(current[n]) + counted_of(last[n])
  end
  reply[i] = {size(q.due), size(q.held), ready, size(q.running), size(q.finished), size(q.dead), size(q.quarantine), age,
    next_due, totals, lateness_of_both, caps.for_reply(q, 'most_finished'), caps.for_reply(q, 'most_dead')}
end
return reply

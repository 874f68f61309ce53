-- runs: the tasks that a schedule makes, and what becomes of a slot while an earlier run has not ended.
--
-- USES  budget, clock, keys, check, hash, streams, index, cancel, fields, type_defaults, schedules

local MOST_OPEN = 100                                   -- runs that a schedule remembers as not ended

-- Write which runs are open. It is written before the task of a run is made. If the call stops after the task, the next look may
-- count the slot as missed; it must know of the run all the same, or it would start another beside it.
local function write_open(s)
  s.f.open = table.concat(s.open, ' ')
  redis.call('HSET', s.key, 'open', s.f.open)
end

-- Make the task of a run; nil if its id is taken: a slot makes one task, ever. due: the planned time, ms.
local function make_run(q, s, suffix, due, now, payload)
  local id, pairs_to_write, priority = s.id .. '@' .. suffix, {}, s.f['task:priority']
  local key, counted_from = q.task .. id, string.find(suffix, '.b', 1, true) and now or due
  if not keys.is_id(id) then return nil end
  budget.spend(2 + #(payload or s.f['task:payload'] or '') / 4096)
  s.open[#s.open + 1] = suffix
  if redis.call('EXISTS', key) == 1 then return nil end -- made by a call that stopped half-way: it may still run
  for field in pairs(fields.LONGEST) do                 -- only what a producer may write
    local value = s.f['task:' .. field]
    if field == 'expires_at' and value then value = clock.text(counted_from + (tonumber(string.sub(value, 2)) or 0)) end
    if field == 'payload' then value = payload or value end
    if value then pairs_to_write[#pairs_to_write + 1], pairs_to_write[#pairs_to_write + 2] = field, value end
    if field == 'payload' and value then
      pairs_to_write[#pairs_to_write + 1], pairs_to_write[#pairs_to_write + 2] = 'submitted', fields.fingerprint(value)
    end
  end
  local function has(name) return s.f['task:' .. name] end
  local more, line = type_defaults.missing(q, s.f['task:type'], counted_from, has), s.f['task:key']
  for i = 1, #more, 2 do
    pairs_to_write[#pairs_to_write + 1], pairs_to_write[#pairs_to_write + 2] = more[i], more[i + 1]
    if more[i] == 'key' then line = more[i + 1] end
  end
  local when = clock.text(math.min(due, now))
  if #s.open > MOST_OPEN then table.remove(s.open, 1) end
  if s.spec.overlap ~= 'allow_all' or s.spec.pause_on_failure then write_open(s) end
  index.add(q, id, s.f['task:tags'], line)
  if s.f['task:conditions'] then
    redis.call('ZADD', q.due, when, id)                 -- promote judges it
  else
    local entry = streams.add(q, id, check.PRIORITIES[priority or ''] and priority or 'normal')
    for _, word in ipairs({'state', 'ready', 'entry', entry, 'due_at', when}) do pairs_to_write[#pairs_to_write + 1] = word end
  end
  redis.call('HSET', key, 'created_at', clock.text(now), 'schedule', s.id, 'slot', suffix, unpack(pairs_to_write))
  s.recent[#s.recent + 1] = suffix .. '/' .. clock.text(now)
  s.made = s.made + 1
  return id
end
local MOST_BUFFERED = 100
runs.POLL = 500                                         -- ms between looks at a run that another waits for

-- Take the runs that have ended out of those that are open. Answers the last of them: its state and when it ended.
local function drop_ended(q, s)
  local open, last = {}, nil
  budget.spend(#s.open / 8)
  for _, suffix in ipairs(s.open) do
    local found = hash.read(q.task .. s.id .. '@' .. suffix, 'state', 'finished_at')
    local state = found and hash.state_of(found[1]) or 'gone'
    if found and not hash.FINISHED[state] and state ~= 'dead' then
      open[#open + 1] = suffix
    elseif not last or last.state ~= 'dead' then
      last = {state = state, at = found and check.whole(found[2] or '', 1e11, 4e12), suffix = suffix}
    end
  end
  s.open = open
  return last
end

-- The same; answers whether a run has failed and the schedule is paused because of it.
function runs.pause_failed(q, s, now)
  local last = drop_ended(q, s)
  if last then s.ended_at = math.min(last.at or now, now) end
  if s.f.paused or s.spec.pause_on_failure ~= true or not last or last.state ~= 'dead' then return false end
  schedules.pause(q, s, now, 'failed: ' .. s.id .. '@' .. last.suffix)
  return true
end

-- Start the runs that wait, as long as no other run is open.
function runs.start_buffered(q, s, now)
  while #s.open == 0 and #s.buffer > 0 do
    local suffix, due = string.match(table.remove(s.buffer, 1), '^(.+)/(%d+)$')
    if suffix then make_run(q, s, suffix, tonumber(due), now) end
  end
end

-- Run one slot, keep it for later or leave it out. Answers the id of its task if it was made.
function runs.admit(q, s, suffix, due, now, policy, payload)
  local waits = suffix .. '/' .. clock.text(due)
  if policy ~= 'allow_all' and (#s.open > 0 or #s.buffer > 0) then
    for _, open in ipairs(s.open) do
      if open == suffix then return nil end             -- made by a call that stopped half-way: it waits for no other run
    end
    if policy == 'skip' then return schedules.tell_slots(q, s, 'skipped', 1, 'overlap', suffix) end
    if policy == 'cancel_other' or policy == 'terminate_other' then
      for _, open in ipairs(s.open) do cancel.task(q, s.id .. '@' .. open, now, 'overlap', policy == 'terminate_other') end
      schedules.tell_slots(q, s, 'dropped', #s.buffer, 'overlap', suffix)
      s.buffer = {waits}
      drop_ended(q, s)
      runs.start_buffered(q, s, now)
    elseif #s.buffer >= (policy == 'buffer_one' and 1 or MOST_BUFFERED) then
      schedules.tell_slots(q, s, 'dropped', 1, 'buffer full', suffix)
    else
      s.buffer[#s.buffer + 1] = waits
    end
    return nil
  end
  return make_run(q, s, suffix, due, now, payload)
end

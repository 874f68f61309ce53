-- overlap: what becomes of a slot while a run of the same schedule has not ended.

local MOST_BUFFERED = 100
local POLL = 500                                        -- ms between looks at a run that another waits for

-- Take the runs that have ended from those that are open. Answers the last of them: its state and when it ended.
local function attend(q, s)
  local open, last = {}, nil
  weigh(#s.open / 8)
  for _, suffix in ipairs(s.open) do
    local found = read(q.task .. s.id .. '@' .. suffix, 'state', 'finished_at')
    local state = found and state_of(found[1]) or 'gone'
    if found and not FINISHED[state] and state ~= 'dead' then
      open[#open + 1] = suffix
    elseif not last or last.state ~= 'dead' then
      last = {state = state, at = found and whole(found[2] or '', 1e11, 4e12), suffix = suffix}
    end
  end
  s.open = open
  return last
end

-- Like attend; answers whether a run has failed and the schedule is paused for it.
local function pause_failed(q, s, now)
  local last = attend(q, s)
  if last then s.ended_at = math.min(last.at or now, now) end
  if s.f.paused or s.spec.pause_on_failure ~= true or not last or last.state ~= 'dead' then return false end
  suspend(q, s, now, 'failed: ' .. s.id .. '@' .. last.suffix)
  return true
end

-- Start what waits, as far as nothing is in its way.
local function start_buffered(q, s, now)
  while #s.open == 0 and #s.buffer > 0 do
    local suffix, due = string.match(table.remove(s.buffer, 1), '^(.+)/(%d+)$')
    if suffix then make_run(q, s, suffix, tonumber(due), now) end
  end
end

-- Run, keep or leave out one slot. Answers the id of its task where it was made.
local function admit(q, s, suffix, due, now, policy, payload)
  local waits = suffix .. '/' .. text(due)
  if policy ~= 'allow_all' and (#s.open > 0 or #s.buffer > 0) then
    if policy == 'skip' then return tell_slots(q, s, 'skipped', 1, 'overlap', suffix) end
    if policy == 'cancel_other' or policy == 'terminate_other' then
      for _, open in ipairs(s.open) do stop_task(q, s.id .. '@' .. open, now, 'overlap', policy == 'terminate_other') end
      tell_slots(q, s, 'dropped', #s.buffer, 'overlap', suffix)
      s.buffer = {waits}
      attend(q, s)
      start_buffered(q, s, now)
    elseif #s.buffer >= (policy == 'buffer_one' and 1 or MOST_BUFFERED) then
      tell_slots(q, s, 'dropped', 1, 'buffer full', suffix)
    else
      s.buffer[#s.buffer + 1] = waits
    end
    return nil
  end
  return make_run(q, s, suffix, due, now, payload)
end

-- fire: whether a mover's decision about a schedule still holds, its slots, and when the schedule is looked at next.
--
-- USES  budget, clock, keys, check, events, schedules, former, runs

-- The digits of a field; '' if it is no number. Anybody may have written it.
local function digits(value) return string.match(value or '', '^%d+$') or '' end

-- The first time of a plain interval after the last slot, or after now if that has passed already.
local function next_of_interval(s, now)
  local every = type(s.spec.every) == 'table' and s.spec.every[1]
  if type(every) ~= 'table' then return nil end
  local length, phase = check.in_range(every.every, 1000, 1e13), check.in_range(every.phase or 0, 0, 1e13)
  if not length or not phase then return nil end
  local from = math.max(check.whole(s.last or s.f.slot or '', 0, 1e15) or 0, now)
  return math.floor((from - phase) / length) * length + length + phase
end

-- Write the lists, the next slot and the time of the next look.
function fire.move_on(q, s, following, due, now)
  local most, waits = check.in_range(s.spec.max_runs, 1, 1e15), check.in_range(s.spec.after_completion, 0, 1e13)
  local bare, handled = string.match(following or '', '^([^~]*)~([^~]*)$')
  if handled then schedules.set(s, 'last', string.sub(handled, 1, 80)) end
  following = bare or following
  local till, rest = string.match(following or '', '^%^(%d+):(.*)$')
  if till then former.forget(s, tonumber(till)) end     -- slots of earlier definitions up to then are made or counted
  following = rest or following
  local slot, look = following == '=' and s.f.slot or following, due
  if following == 'every' then
    look = next_of_interval(s, now)
    slot = look and clock.text(look)
  end
  if s.f.ended or slot == 'none' or most and schedules.counter(s, 'fired') >= most then
    slot, look = nil, schedules.NEVER
    if not s.f.ended then events.tell(q, 'schedule_ended', s.id) end
    schedules.set(s, 'ended', s.f.ended or clock.text(now))
  elseif waits and #s.open > 0 then
    slot, look = nil, now + math.max(100, math.min(waits / 20, 5000))
  elseif waits and not (tonumber(slot or '') and tonumber(slot) > now) then
    look = (s.ended_at or now) + waits                  -- any final state counts as an end, and so does a run that was removed
    slot = clock.text(look)
  elseif till and slot == '' then
    look = 0
  elseif digits(slot) == '' then
    schedules.pause(q, s, now, 'malformed: its spec says no next slot')
  end
  schedules.set(s, 'slot', digits(slot))
  schedules.save(s)
  if s.f.paused then return end
  look = look or tonumber(slot)
  if #s.buffer > 0 then look = math.min(look, now + runs.POLL) end
  schedules.look_at(s, look)
end

-- Take an id from the set that names no schedule. An id that is no name cannot be named in a call, so all of those are
-- removed together.
local function forget_schedule(set, id)
  redis.call('ZREM', set, id)
  if keys.is_name(id) then return end
  for _, member in ipairs(redis.call('ZRANGE', set, 0, 99)) do
    if not keys.is_name(member) then redis.call('ZREM', set, member) end
  end
end

-- Why a mover's decision is not carried out; nil if it still holds. due: the time of its last slot, if it has one.
function fire.refusal(q, s, id, rev, slot, due, now)
  if not s then
    forget_schedule(q.prefix .. 'schedules', id)
    return 'gone'
  end
  if digits(s.f.rev) ~= digits(rev) or digits(s.f.slot) ~= digits(slot) or schedules.queue_of(s) ~= q.name then
    return 'stale'
  end
  if s.f.ended and #s.buffer == 0 then
    schedules.save(s)                                   -- the last run that waited may have been made by a call that stopped
    schedules.look_at(s, schedules.NEVER)
    return 'stale'
  end
  if due and due > now then return 'early' end
  local till = check.whole(s.f.paused_until or '', 0, 1e15) or schedules.NEVER
  if s.f.paused and till > now then
    schedules.look_at(s, till)
    return 'paused'
  end
  if s.f.paused then schedules.resume(q, s, till) end
end

-- Make the runs of these slots. Answers how many were made or kept for later, and the first slot that is left to another
-- call. A schedule that has ended only starts the runs that wait.
function fire.slots(q, s, slots, now)
  local most, fired, taken = check.in_range(s.spec.max_runs, 1, 1e15), schedules.counter(s, 'fired'), 0
  local policy = schedules.OVERLAPS[s.spec.overlap or ''] and s.spec.overlap or 'skip'
  runs.start_buffered(q, s, now)
  local left = nil
  for i, slot in ipairs(s.f.ended and {} or slots) do
    if most and fired + taken >= most then break end
    if i > 1 and budget.is_spent() then
      left = slot
      break
    end
    local made, waiting = s.made, #s.buffer
    runs.admit(q, s, slot[1], slot[2], now, policy)
    if s.made > made or #s.buffer > waiting then taken = taken + 1 end
    s.last = slot[1]
  end
  schedules.set(s, 'fired', taken + fired > 0 and clock.text(fired + taken))
  return taken, left
end

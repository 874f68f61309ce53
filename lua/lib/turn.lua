-- turn: the next slot of a schedule, and when it is looked at next.

-- What is no number counts as none: it may not even be text.
local function digits(value) return string.match(value or '', '^%d+$') or '' end

local function look_sooner(s, at)
  redis.call('ZADD', s.prefix .. 'schedules', 'LT', text(at), s.id)
end

-- The first time of a plain interval after the last slot, or after now where that is over already.
local function next_of_interval(s, now)
  local every = type(s.spec.every) == 'table' and s.spec.every[1]
  if type(every) ~= 'table' then return nil end
  local length, phase = sane(every.every, 1000, 1e13), sane(every.phase or 0, 0, 1e13)
  if not length or not phase then return nil end
  local from = math.max(whole(s.last or s.f.slot or '', 0, 1e15) or 0, now)
  return math.floor((from - phase) / length) * length + length + phase
end

-- Write the lists, the next slot and the time of the next look.
local function move_on(q, s, following, due, now)
  local most, waits = sane(s.spec.max_runs, 1, 1e15), sane(s.spec.after_completion, 0, 1e13)
  local bare, handled = string.match(following or '', '^([^~]*)~([^~]*)$')
  if handled then set_field(s, 'last', string.sub(handled, 1, 80)) end
  following = bare or following
  local till, rest = string.match(following or '', '^%^(%d+):(.*)$')
  if till then FORMER.forget(s, tonumber(till)) end     -- the slots of earlier definitions, up to then, are made or counted
  following = rest or following
  local slot, look = following == '=' and s.f.slot or following, due
  if following == 'every' then
    look = next_of_interval(s, now)
    slot = look and text(look)
  end
  if s.f.ended or slot == 'none' or most and counted(s, 'fired') >= most then
    slot, look = nil, NEVER
    if not s.f.ended then event(q, 'schedule_ended', s.id) end
    set_field(s, 'ended', s.f.ended or text(now))
  elseif waits and #s.open > 0 then
    slot, look = nil, now + math.max(100, math.min(waits / 20, 5000))
  elseif waits and not (tonumber(slot or '') and tonumber(slot) > now) then
    look = (s.ended_at or now) + waits                  -- whatever final state counts as the end, and a run that is gone
    slot = text(look)
  elseif till and slot == '' then
    look = 0
  elseif digits(slot) == '' then
    suspend(q, s, now, 'malformed: its spec says no next slot')
  end
  set_field(s, 'slot', digits(slot))
  save_schedule(s)
  if s.f.paused then return end
  look = look or tonumber(slot)
  if #s.buffer > 0 then look = math.min(look, now + POLL) end
  look_again(s, look)
end

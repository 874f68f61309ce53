-- firing: the parts of fire: whether a decision still holds, its slots, and the next look.

-- Why nothing is to be made; nil where it holds. due: of the last slot, if there is one.
local function refusal_of(q, s, id, rev, slot, due, now)
  if not s then
    redis.call('ZREM', q.prefix .. 'schedules', id)
    return 'gone'
  end
  local home = is_name(s.f.queue) and s.f.queue or 'default'
  if (s.f.rev or '') ~= rev or (s.f.slot or '') ~= slot or home ~= q.name or s.f.ended then return 'stale' end
  if due and due > now then return 'early' end
  local till = tonumber(s.f.paused_until or '') or NEVER
  if s.f.paused and till > now then
    look_again(s, till)
    return 'paused'
  end
  if s.f.paused then carry_on(q, s, till) end
end

-- Answers how many slots were made or kept for later; nil where a run had failed and the schedule is paused for it.
local function fire_slots(q, s, slots, now)
  local last, taken = attend(q, s), 0
  if last and last.state == 'dead' and s.spec.pause_on_failure == true then
    suspend(q, s, now, 'failed: ' .. s.id .. '@' .. last.suffix)
    return nil
  end
  if last then s.ended_at = last.at or now end
  start_buffered(q, s, now)
  local most, fired = tonumber(s.spec.max_runs or ''), tonumber(s.f.fired or '') or 0
  local policy = OVERLAP[s.spec.overlap or ''] and s.spec.overlap or 'skip'
  for _, slot in ipairs(slots) do
    if most and fired + taken >= most then break end
    local made, waiting = s.made, #s.buffer
    admit(q, s, slot[1], slot[2], now, policy)
    if s.made > made or #s.buffer > waiting then taken = taken + 1 end
    s.last = slot[1]
  end
  set_field(s, 'fired', taken + fired > 0 and text(fired + taken))
  return taken
end

-- The first time of a plain interval after the last slot, or after now where that is over already.
local function next_of_interval(s, now)
  local every = type(s.spec.every) == 'table' and s.spec.every[1] or {}
  local length, phase = tonumber(every.every or ''), tonumber(every.phase or '') or 0
  if not length or length < 1000 then return nil end
  local from = math.max(tonumber(s.last or s.f.slot or '') or 0, now)
  return math.floor((from - phase) / length) * length + length + phase
end

-- Write the lists, the next slot and the time of the next look.
local function move_on(q, s, following, due, now)
  local most, waits = tonumber(s.spec.max_runs or ''), tonumber(s.spec.after_completion or '')
  local slot, look = following, due
  if following == '=' then
    slot = s.f.slot
  elseif following == 'every' then
    look = next_of_interval(s, now)
    slot = look and text(look) or 'none'
  end
  if waits and #s.open > 0 then
    slot, look = nil, now + math.max(100, math.min(waits / 20, 5000))
  elseif waits and not (tonumber(slot or '') and tonumber(slot) > now) then
    look = (s.ended_at or now) + waits                  -- whatever final state counts as the end, and a run that is gone
    slot = text(look)
  end
  if slot == 'none' or most and (tonumber(s.f.fired or '') or 0) >= most then
    slot, look = nil, NEVER
    if #s.buffer == 0 then
      set_field(s, 'ended', text(now))
      event(q, 'schedule_ended', s.id)
    end
  end
  if #s.buffer > 0 then look = math.min(look or NEVER, now + POLL) end
  set_field(s, 'slot', slot)
  save_schedule(s)
  look_again(s, look or tonumber(slot or '') or NEVER)
end

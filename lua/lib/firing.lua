-- firing: the parts of fire: whether a decision still holds, and its slots.

-- Take an id from the set that names no schedule; one that is no name is not told as it is, so they go together.
local function forget_schedule(set, id)
  redis.call('ZREM', set, id)
  if is_name(id) then return end
  for _, member in ipairs(redis.call('ZRANGE', set, 0, 99)) do
    if not is_name(member) then redis.call('ZREM', set, member) end
  end
end

-- Why nothing is to be made; nil where it holds. due: of the last slot, if there is one.
local function refusal_of(q, s, id, rev, slot, due, now)
  if not s then
    forget_schedule(q.prefix .. 'schedules', id)
    return 'gone'
  end
  if digits(s.f.rev) ~= digits(rev) or digits(s.f.slot) ~= digits(slot) or home_of(s) ~= q.name then return 'stale' end
  if s.f.ended and #s.buffer == 0 then
    look_again(s, NEVER)
    return 'stale'
  end
  if due and due > now then return 'early' end
  local till = whole(s.f.paused_until or '', 0, 1e15) or NEVER
  if s.f.paused and till > now then
    look_again(s, till)
    return 'paused'
  end
  if s.f.paused then carry_on(q, s, till) end
end

-- Answers how many slots were made or kept for later, and the first that is left to another call. One that has ended only
-- starts what waits.
local function fire_slots(q, s, slots, now)
  local most, fired, taken = sane(s.spec.max_runs, 1, 1e15), counted(s, 'fired'), 0
  local policy = OVERLAP[s.spec.overlap or ''] and s.spec.overlap or 'skip'
  start_buffered(q, s, now)
  local left = nil
  for i, slot in ipairs(s.f.ended and {} or slots) do
    if most and fired + taken >= most then break end
    if i > 1 and is_over() then
      left = slot
      break
    end
    local made, waiting = s.made, #s.buffer
    admit(q, s, slot[1], slot[2], now, policy)
    if s.made > made or #s.buffer > waiting then taken = taken + 1 end
    s.last = slot[1]
  end
  set_field(s, 'fired', taken + fired > 0 and text(fired + taken))
  return taken, left
end

-- due: looking at what is due in a queue, in pieces that are bounded.

local PLANNED = 8                                       -- times the work of a task without conditions

local function without(ids, some)
  local found = {}
  for _, id in ipairs(ids) do
    if not some[id] then found[#found + 1] = id end
  end
  return found
end

-- Judge what was read, as far as the work allows; answers how much work it was. seen: ids of this call; ready, moved: how many.
-- One that fails through its own fault is set aside; one that this caller may not judge stays in due, and so do all where
-- the fault is the queue's.
local function judge_due(q, due, most, now)
  if #due == 0 then return 0 end
  local left, before, planned, work = {}, q.planned, q.planned, 0
  for_each(#due, 2, function(i)
    local id, leaves, is_ready = due[i], false, false
    if work >= most or i > 1 and is_over() then
      q.cut = true
      return true
    end
    if q.released then q.released[id] = nil end         -- from now on it counts again
    if not q.seen[id] then leaves, is_ready = judge(q, id, due[i + 1], now) end
    if leaves then left[#left + 1] = id end
    if is_ready then q.ready_now = q.ready_now + 1 end
    q.seen[id] = true
    CALL.units = CALL.units + 1 + (PLANNED - 1) * (q.planned - planned)
    planned = q.planned
    work = (i + 1) / 2 + (PLANNED - 1) * (q.planned - before)
  end, function(i, trouble)
    local fault = set_aside(q, due[i], now, trouble)
    if fault == 'own' then left[#left + 1] = due[i] else q.left = q.left + 1 end
    if fault == 'denied' then tell_denied(q, due[i], now) end
    if fault == 'shared' or fault == 'everybody' then q.trouble = q.trouble or trouble end
    q.seen[due[i]] = true
    work = (i + 1) / 2 + (PLANNED - 1) * (q.planned - before)
    return fault == 'everybody'
  end)
  if q.released then left = without(left, q.released) end
  if #left > 0 then redis.call('ZREM', q.due, unpack(left)) end   -- after the rest: a stop half-way repeats, it never loses
  q.moved = q.moved + #left
  return work
end

-- The same with the oldest, and with those whose time is no time.
local function look_at_oldest(q, most, now)
  local work = 0
  for _, range in ipairs({{'-inf', now}, {'(4000000000000', '+inf'}}) do
    local left = most - work
    if left > 0 then
      local due = redis.call('ZRANGE', q.due, range[1], range[2], 'BYSCORE', 'LIMIT', 0, left, 'WITHSCORES')
      work = work + judge_due(q, due, left, now)
    end
  end
  return work
end

-- The earliest time at which there is more to do; what stays in due although its time has come does not count, unless others
-- behind it were not looked at.
local function due_after(q, now)
  if q.left == 0 then return earliest(q.due) end
  if q.cut and q.moved > 0 then return now end
  local later = redis.call('ZRANGE', q.due, '(' .. text(now), '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
  return later[2] and math.floor(math.min(tonumber(later[2]), 9e15)) or -1
end

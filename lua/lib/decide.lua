-- decide: the ends and the second looks that conditions bring.

local DEFER_FOR = 86400000                              -- ms: how long a task is looked at again unless it says

-- The end that its conditions brought; the caller takes it from its old place.
local function conclude(q, id, state, now, f, reason)
  finish(q, id, state, now, f.retention_ms, reason)
  event(q, state, id, 'reason', reason)
  count(q, now, state, 1)
end

-- Look at a held task again, because something that it may wait for has happened.
local function consider(q, id, now)
  local f = read_planned(q, id)
  if not f or f.blocked == 'digest' then return end     -- who takes it from a digest cancels it
  if f.state ~= 'held' then
    redis.call('ZREM', q.held, id)                      -- a call that stopped half-way left it there
    return
  end
  local plan = f.conditions and known_plan(f.conditions)
  local word, till = nil, nil
  if plan then word, till = blocked_by(q, id, plan, f, now) end
  if FINISHED[word] then
    conclude(q, id, word, now, f, till)
    leave_hold(q, id, f.blocked)
  elseif f.blocked ~= 'line' and not string.find(f.blocked or '', '^pause:') then
    if word then hold_task(q, id, word, math.min(till, f.expires)) else release_task(q, id, now) end
  end
end

local function reason_of(q, plan)
  local which = plan.unless and holds(q.prefix, plan.unless) and 'unless' or 'only_if'
  local test = plan[which]
  while test.all or test.any do test = (test.all or test.any)[1] end
  return which .. ' ' .. test.fact
end

-- Its tests do not hold: true where it ends, false where it is looked at again later.
local function turn_down(q, id, plan, f, now)
  local again = type(plan.otherwise) == 'table' and plan.otherwise
  local first = whole(f.deferred or '', 1e11, 4e12) or now
  if not again or now - first >= (again.within or DEFER_FOR) then
    conclude(q, id, 'skipped', now, f, reason_of(q, plan))
    return true
  end
  local has_others, is_held = DIGESTS.has(f.bound), f.state == 'held'
  if has_others and not is_held then DIGESTS.leave(q, id, now) end   -- the others do not wait for it
  redis.call('ZADD', q.due, text(now + again.again), id)
  redis.call('HSET', q.task .. id, 'state', 'scheduled', 'deferred', text(first))
  if has_others and is_held then DIGESTS.leave(q, id, now) end   -- after that: nobody releases one who is in no digest
  event(q, 'deferred', id, 'due', text(now + again.again))
  return false
end

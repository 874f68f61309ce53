-- verdicts: what conditions can lead to: an end, a hold, or another look later.
--
-- USES  clock, check, hash, events, stats, endings, conditions, facts, holds, digests, blocked

local DEFER_FOR = 86400000                              -- ms: how long a task is looked at again if its conditions do not say

-- End a task as its conditions say; the caller takes it from its old place.
function verdicts.conclude(q, id, state, now, f, reason)
  endings.finish(q, id, state, now, f.retention_ms, reason)
  events.tell(q, state, id, 'reason', reason)
  stats.count(q, now, state, 1)
end

-- Look at a held task again, because something that it may wait for has happened.
function verdicts.look_again(q, id, now)
  local f = blocked.read(q, id)
  if not f or f.blocked == 'digest' then return end     -- when it leaves the digest, it is cancelled
  if f.state ~= 'held' then
    redis.call('ZREM', q.held, id)                      -- a call that stopped half-way left it there
    return
  end
  local plan = f.conditions and conditions.known(f.conditions)
  local word, till = nil, nil
  if plan then word, till = blocked.by(q, id, plan, f, now) end
  if hash.FINISHED[word] then
    verdicts.conclude(q, id, word, now, f, till)
    holds.leave(q, id, f.blocked)
  elseif f.blocked ~= 'line' and not string.find(f.blocked or '', '^pause:') then
    if word then holds.put(q, id, word, math.min(till, f.expires)) else holds.release(q, id, now) end
  end
end

local function reason_of(q, plan)
  local which = plan.unless and facts.holds(q.prefix, plan.unless) and 'unless' or 'only_if'
  local test = plan[which]
  while test.all or test.any do test = (test.all or test.any)[1] end
  return which .. ' ' .. test.fact
end

-- What becomes of a task whose tests do not hold. Answers true if it ends, false if it is looked at again later.
function verdicts.turn_down(q, id, plan, f, now)
  local again = type(plan.otherwise) == 'table' and plan.otherwise
  local first = check.whole(f.deferred or '', 1e11, 4e12) or now
  if not again or now - first >= (again.within or DEFER_FOR) then
    verdicts.conclude(q, id, 'skipped', now, f, reason_of(q, plan))
    return true
  end
  local has_others, is_held = digests.has(f.bound), f.state == 'held'
  if has_others and not is_held then digests.leave(q, id, now) end   -- the others do not wait for it
  redis.call('ZADD', q.due, clock.text(now + again.again), id)
  redis.call('HSET', q.task .. id, 'state', 'scheduled', 'deferred', clock.text(first))
  -- after that write: a task that is held and in no digest is never released
  if has_others and is_held then digests.leave(q, id, now) end
  events.tell(q, 'deferred', id, 'due', clock.text(now + again.again))
  return false
end

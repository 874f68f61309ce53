-- endings: the last place of a task, and what others learn of its end. The new place is written first, then the hash; the
-- caller leaves the old place.
--
-- USES  budget, check, safe, hash, events, stats, caps, index, conditions, reminders, links, digests

-- ms: least retention of a task with conditions, which others may ask for
endings.KEEP_LINKED = 60000

-- Before the state is written: have the mover tell the children, however many there are. It checks that the task has ended.
function endings.announce(q, id, state, bound)
  if not bound or not string.find(bound, 'c', 1, true) then return end
  reminders.add_from_start(q.prefix, 'ended/' .. state .. '/' .. q.name .. '/' .. id, 0)
end

-- The same for a task that ends without a run: its digest goes on without it.
local function announce_unrun(q, id, state, bound, now)
  if digests.has(bound) then digests.leave(q, id, now, state == 'dead') end
  endings.announce(q, id, state, bound)
end

-- After the state was written: take the task out of its lines, locks and lists of listeners.
function endings.leave_links(q, id, now, bound)
  if not bound or not string.find(bound, '[pt]') then return end
  local found = hash.read(q.task .. id, 'conditions', 'key')
  local plan = found and found[1] and conditions.known(found[1])
  if plan then
    budget.spend(2 + #conditions.facts(plan) / 4)
    links.leave(q, id, plan, found[2], now)
  end
  redis.call('HSET', q.task .. id, 'bound', string.find(bound, 'c', 1, true) and 'c' or '-')
end

-- Before a task is removed, move its children to a key of their own, completed or gone, so that a later task of the same id
-- does not get them. The mover tells them.
local function leave_children(q, id, state)
  local word = state == 'completed' and state or 'gone'
  local item, key, left = 'removed/' .. word .. '/' .. q.name .. '/' .. id, q.children .. id, q.children .. id .. '/' .. word
  if redis.call('EXISTS', key) == 0 then return end
  reminders.add_from_start(q.prefix, item, 1)           -- first: if this stops half-way, the children are still told
  if redis.call('EXISTS', left) == 0 then
    redis.call('RENAME', key, left)
  else                                                  -- children of an earlier task of that id have not been told yet
    safe.call('ZUNIONSTORE', left, 2, left, key)
    redis.call('UNLINK', key)
  end
end

-- Append the keys of a task that is removed to gone, and do what an earlier call that stopped half-way left undone.
function endings.forget(q, id, now, state, bound, gone)
  local n = #gone
  gone[n + 1], gone[n + 2] = q.task .. id, q.outcome .. id
  index.forget(q, id)
  if not bound then return end
  gone[n + 3] = q.parents .. id
  endings.leave_links(q, id, now, bound)
  redis.call('ZREM', q.held, id)
  local digest = redis.call('HGET', q.task .. id, 'into')
  if digest then digests.forget(q, digest, id) end
  if string.find(bound, 'c', 1, true) then leave_children(q, id, state) end
end
endings.KEEP_FINISHED, endings.KEEP_DEAD = 3600000, 2592000000

-- End a task as completed, skipped, expired or cancelled; its id stays known until its retention ends. More fields may
-- follow.
function endings.finish(q, id, state, now, retention, reason, ...)
  local bound = redis.call('HGET', q.task .. id, 'bound')
  local keep = check.number_or('retention_ms', retention, endings.KEEP_FINISHED) or endings.KEEP_FINISHED
  if bound then keep = math.max(keep, endings.KEEP_LINKED) end
  announce_unrun(q, id, state, bound, now)
  if keep == 0 then
    index.forget(q, id)
    redis.call('UNLINK', q.task .. id, q.outcome .. id)
    return
  end
  redis.call('ZADD', q.finished, now + keep, id)
  local told = {...}
  if reason and reason ~= '' then told[#told + 1], told[#told + 2] = 'reason', reason end
  redis.call('HSET', q.task .. id, 'state', state, 'finished_at', now, unpack(told))
  endings.leave_links(q, id, now, bound)
end

-- End a task whose start-by has passed; it never starts.
function endings.expire(q, id, now, retention, reason, ...)
  endings.finish(q, id, 'expired', now, retention, reason, ...)
  events.tell(q, 'expired', id)
  stats.count(q, now, 'expired', 1)
  return 'expired'
end

function endings.cancel(q, id, now, retention, reason, ...)
  endings.finish(q, id, 'cancelled', now, retention, reason, ...)
  events.tell(q, 'cancelled', id)
  stats.count(q, now, 'cancelled', 1)
  return 'cancelled'
end

-- Make a task a dead letter: it never runs again by itself, and it can be revived.
function endings.dead(q, id, now, reason)
  local bound = redis.call('HGET', q.task .. id, 'bound')
  announce_unrun(q, id, 'dead', bound, now)
  redis.call('ZADD', q.dead, now + endings.KEEP_DEAD, id)
  redis.call('HSET', q.task .. id, 'state', 'dead', 'finished_at', now, 'reason', reason)
  endings.leave_links(q, id, now, bound)
  events.tell(q, 'dead', id, 'reason', reason)
  stats.count(q, now, 'dead', 1)
  return 'dead'
end

-- Set an id aside that names no readable task. Nothing is written to its key. The caller tells it at its end
-- (tell_quarantined).
function endings.quarantine(q, id, now, reason)
  local short = string.sub(id, 1, 128)
  redis.call('ZADD', q.quarantine, now, reason .. ':' .. short)
  q.aside = q.aside or {}
  local first = q.aside[reason]
  if first then
    first.n = first.n + 1
  else
    q.aside[reason] = {id = short, n = 1}
    q.aside[#q.aside + 1] = reason
  end
end

-- Tell what a call set aside: one event a reason, with its first id and how many more there were. Also keeps the
-- quarantine's cap.
function endings.tell_quarantined(q, now)
  if not q.aside then return end
  local evicted = redis.call('ZREMRANGEBYRANK', q.quarantine, 0, -10001)
  local total = 0
  for _, reason in ipairs(q.aside) do
    local first = q.aside[reason]
    if first.n > 1 then
      events.tell(q, 'quarantined', first.id, 'reason', reason, 'more', first.n - 1)
    else
      events.tell(q, 'quarantined', first.id, 'reason', reason)
    end
    total = total + first.n
  end
  stats.count(q, now, 'quarantined', total)
  caps.tell_evicted(q, now, 'quarantine', evicted, 0)
  q.aside = false
end

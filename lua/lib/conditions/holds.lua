-- holds: a task that waits for something else than a time. Its field blocked says for what: confirm, facts, parents, line,
-- digest or pause:<what>.
--
-- USES  clock, check, hash, events, reminders

holds.NO_END = 4e12                                     -- the score of a hold that only its reason ends

-- The new place, then the hash; the caller leaves the old place. More fields may follow.
function holds.put(q, id, why, till, ...)
  if till < holds.NO_END then reminders.add(q.prefix, 'hold/' .. q.name, till) end
  redis.call('ZADD', q.held, clock.text(math.min(till, holds.NO_END)), id)
  redis.call('HSET', q.task .. id, 'state', 'held', 'blocked', why, ...)
end

-- Take a task from the list of those that a pause stopped.
local function leave_pause(q, id, why)
  local what = string.match(why or '', '^pause:(.*)$')
  if what then redis.call('ZREM', q.stopped .. what, id) end
end

-- Leave the hold, once the hash has another state. Until then the field blocked says why the task is held.
function holds.leave(q, id, why)
  leave_pause(q, id, why)
  redis.call('HDEL', q.task .. id, 'blocked')
  redis.call('ZREM', q.held, id)
end

-- When a released task is due. A delay counts from the release; after a pause the due time is what it was.
function holds.due_time(held_for, due_at, delay_ms, now)
  local delay, due = check.whole(delay_ms or '', 0, 31536000000), check.whole(due_at or '', 1e11, 4e12)
  if delay then return now + delay end
  if not due or due < now and not string.find(held_for or '', '^pause:') then return now end
  return due
end

-- held -> scheduled, where promote judges it.
function holds.release(q, id, now)
  local found = hash.read(q.task .. id, 'state', 'blocked', 'due_at', 'delay_ms')
  if not found or found[1] ~= 'held' then
    redis.call('ZREM', q.held, id)
    return
  end
  local due = holds.due_time(found[2], found[3], found[4], now)
  redis.call('ZADD', q.due, clock.text(due), id)
  q.released = q.released or {}
  q.released[id] = true                                 -- promote may have judged it earlier in this call: it stays in due
  -- in one write, so that the delay counts only once
  redis.call('HSET', q.task .. id, 'state', 'scheduled', 'blocked', '', 'delay_ms', '')
  redis.call('HDEL', q.task .. id, 'blocked', 'delay_ms')
  leave_pause(q, id, found[2])
  redis.call('ZREM', q.held, id)
  events.tell(q, 'released', id, 'after', found[2] or '', 'due', clock.text(due))
end

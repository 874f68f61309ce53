-- reschedule: give a task that waits another due time: one that is named, or one that lies by as much from its own.
--
-- USES  clock, keys, check, hash, events, streams, holds

-- What is read of a task; nil and a word if it does not wait, or bears this operation, which has moved it then.
local function waiting(q, id, operation)
  local found = keys.is_id(id) and hash.read(q.task .. id, 'state', 'entry', 'due_at', 'blocked', 'expires_at', 'shifting',
    'reason', 'shifted')
  local state = found and hash.state_of(found[1])
  if not found then return nil, 'missing' end
  if operation and found[8] == operation then
    if found[6] then redis.call('HDEL', q.task .. id, 'shifting') end   -- it stopped after its last write but this
    return nil, 'rescheduled'
  end
  if state ~= 'scheduled' and state ~= 'held' and state ~= 'ready' then return nil, hash.refusal(state, found[7]) end
  return {state = state, entry = found[2], due_at = found[3], blocked = found[4] or nil, start_by = found[5] or nil,
    shifting = found[6] or nil}
end

-- The new place, then the hash, then the old place. start_by, operation: to be written too, or nil.
local function put(q, id, f, due, start_by, operation)
  local key, more = q.task .. id, operation and {'shifted', operation} or {}
  if start_by then more[#more + 1], more[#more + 2] = 'expires_at', start_by end
  redis.call('ZADD', q.due, due, id)
  if f.state == 'held' then
    redis.call('HSET', key, 'state', 'scheduled', 'blocked', '', 'delay_ms', '', unpack(more))
    redis.call('HDEL', key, 'delay_ms')
    holds.leave(q, id, f.blocked)
  else
    redis.call('HSET', key, 'state', 'scheduled', unpack(more))
  end
  if f.state == 'ready' then streams.remove(q, f.entry) end
  events.tell(q, 'rescheduled', id, 'due', clock.text(due))
  return 'rescheduled'
end

-- A shift that stopped half-way left in the field shifting the due time that it was about to write, and the start-by before
-- and after it. If the due time was written, so is the start-by; if not, the start-by is what it was.
local function end_earlier_shift(q, id, f, now_due)
  local due, before, after = string.match(f.shifting, '^(%d+) (%d+) (%d+)$')
  if due and (f.start_by == before or f.start_by == after) then
    f.start_by = tonumber(due) == now_due and after or before
    redis.call('HSET', q.task .. id, 'expires_at', f.start_by)
  end
  redis.call('HDEL', q.task .. id, 'shifting')
end

-- When a task that waits is due, ms; nil if that is not known.
local function due_of(q, id, state, due_at)
  local due = tonumber(state == 'scheduled' and redis.call('ZSCORE', q.due, id) or due_at or '')
  return due and math.floor(due)
end

-- Whether a task of this state that got this start-by would expire in place of running. That of a dead task counts once it is
-- revived.
function reschedule.is_too_late(q, id, state, due_at, start_by, now)
  return state ~= 'dead' and check.expires_by(start_by, math.max(due_of(q, id, state, due_at) or now, now))
end

-- due: ms. Answers rescheduled, expires (nothing was written: it would be due after its start-by), running, moved, finished or
-- missing.
function reschedule.task(q, id, due, now)
  local f, word = waiting(q, id)
  if not f then return word end
  if f.shifting then end_earlier_shift(q, id, f, due_of(q, id, f.state, f.due_at)) end
  if check.expires_by(f.start_by, math.max(due, now)) then return 'expires' end
  return put(q, id, f, due)
end

-- Add by (ms, may be negative) to the due time and to the start-by of a task: the time in which it may start moves as a whole.
-- was: its due time when the caller looked, or nil: it is not moved twice, nor if somebody else moved it meanwhile. Answers as
-- above, or changed. operation: it is left in the task, which it does not move again; or nil.
function reschedule.shift(q, id, by, was, now, operation)
  local f, word = waiting(q, id, operation)
  if not f then return word end
  local now_due = due_of(q, id, f.state, f.due_at)
  if f.shifting then end_earlier_shift(q, id, f, now_due) end
  if not now_due then return 'changed' end
  if was and now_due ~= was then
    if now_due ~= was + by then return 'changed' end
    if operation then redis.call('HSET', q.task .. id, 'shifted', operation) end   -- an earlier call stopped before this
    return 'rescheduled'
  end
  local due, before, after = math.max(1e11, math.min(now_due + by, 4e12)), check.whole(f.start_by or '', 1e11, 4e12), nil
  if not before then return put(q, id, f, due, nil, operation) end
  after = math.max(1e11, math.min(before + by, 4e12))
  if after <= math.max(due, now) then return 'expires' end
  before, after = clock.text(before), clock.text(after)
  -- A start-by that comes later is written before the due time, one that comes sooner after it: wherever this stops, the task
  -- is not due after its start-by.
  redis.call('HSET', q.task .. id, 'shifting', clock.text(due) .. ' ' .. before .. ' ' .. after,
    'expires_at', by > 0 and after or before)
  put(q, id, f, due, after, operation)
  redis.call('HDEL', q.task .. id, 'shifting')
  return 'rescheduled'
end

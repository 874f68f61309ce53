-- cancel: end one task early, whatever it is doing.
--
-- USES  keys, hash, events, stats, streams, endings, holds, digests

-- End a task whose item runs as part of another task of its digest. Answers false if it is no such task. As long as no
-- handler of that run has begun, the task waits instead: it may have to run itself. With a cancel_reason it is cancelled in
-- that case.
function cancel.end_merged(q, id, now, cancel_reason)
  local starter = digests.merged_into(q, id)
  local found = starter and hash.read(q.task .. id, 'state', 'blocked', 'retention_ms')
  local state, reason = found and hash.state_of(found[1]), 'merged into ' .. (starter or '')
  if state ~= 'held' and state ~= 'scheduled' then return false end
  if digests.is_unbegun(q, starter) then
    if cancel_reason then redis.call('HSETNX', q.task .. id, 'cancel_requested', cancel_reason) end
    if state == 'scheduled' then
      holds.put(q, id, 'digest', holds.NO_END)
      redis.call('ZREM', q.due, id)
    end
    return true
  end
  endings.finish(q, id, 'skipped', now, found[3], reason)
  events.tell(q, 'skipped', id, 'reason', reason)
  stats.count(q, now, 'skipped', 1)
  redis.call('ZREM', q.due, id)
  holds.leave(q, id, found[2])
  return true
end

-- Answers cancelled | requested (it runs; its worker learns it at the next renewal) | moved | finished | missing. at_once: a
-- running task ends now, and its worker's claim is lost.
function cancel.task(q, id, now, reason, at_once)
  local found = keys.is_id(id) and hash.read(q.task .. id, 'state', 'entry', 'retention_ms', 'cancel_requested', 'bound',
    'reason')
  local state = found and hash.state_of(found[1])
  if not found then return 'missing' end
  if state == 'running' and not at_once then
    if not found[4] then
      redis.call('HSET', q.task .. id, 'cancel_requested', reason)
      events.tell(q, 'cancel_requested', id)
    end
    return 'requested'
  elseif state ~= 'running' and digests.has(found[5]) and cancel.end_merged(q, id, now, reason) then
    return 'finished'
  elseif state == 'scheduled' or state == 'held' or state == 'ready' or state == 'running' then
    local why = state == 'held' and redis.call('HGET', q.task .. id, 'blocked')
    endings.cancel(q, id, now, found[3], reason)
    redis.call('ZREM', q.due, id)
    if state == 'held' then holds.leave(q, id, why or nil) end
    if state == 'running' then
      redis.call('HDEL', q.task .. id, 'token')         -- its worker's answer comes too late from here on
      redis.call('ZREM', q.running, id)
    end
    if state == 'ready' then streams.remove(q, found[2]) end
  elseif state ~= 'cancelled' then                      -- cancelled already: the same answer again
    return hash.refusal(state, found[6])
  end
  return 'cancelled'
end

-- stop: cancel one task, whatever it is doing.

-- cancelled | requested (running: its worker is told at the next renewal) | finished | missing. at_once: a running one ends now,
-- and its worker's claim is lost.
local function stop_task(q, id, now, reason, at_once)
  local found = is_id(id) and read(q.task .. id, 'state', 'entry', 'retention_ms', 'cancel_requested', 'bound')
  local state = found and state_of(found[1])
  if not found then return 'missing' end
  if state == 'running' and not at_once then
    if not found[4] then
      redis.call('HSET', q.task .. id, 'cancel_requested', reason)
      event(q, 'cancel_requested', id)
    end
    return 'requested'
  elseif state ~= 'running' and DIGESTS.has(found[5]) and DIGESTS.merged_into(q, id) then
    return 'finished'                                   -- its item runs already; the mover ends it
  elseif state == 'scheduled' or state == 'held' or state == 'ready' or state == 'running' then
    if state == 'held' then
      leave_stop(q, id, redis.call('HGET', q.task .. id, 'blocked'))
      redis.call('HDEL', q.task .. id, 'blocked')
    end
    call_off(q, id, now, found[3], reason)
    redis.call('ZREM', q.due, id)
    if state == 'held' then redis.call('ZREM', q.held, id) end
    if state == 'running' then
      redis.call('HDEL', q.task .. id, 'token')         -- its worker's answer comes too late from here on
      redis.call('ZREM', q.running, id)
    end
    if state == 'ready' then drop_entry(q, found[2]) end
  elseif state ~= 'cancelled' then                      -- cancelled already: the same answer again
    return 'finished'
  end
  return 'cancelled'
end

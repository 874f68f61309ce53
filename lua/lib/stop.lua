-- stop: cancel one task, whatever it is doing.

-- The end of one whose item runs as part of another; false where it is no such one. As long as no handler of that one has
-- begun it waits: it may have to take its place, or to be cancelled then, where a reason is given.
local function end_merged(q, id, now, cancel)
  local starter = DIGESTS.merged_into(q, id)
  local found = starter and read(q.task .. id, 'state', 'blocked', 'retention_ms')
  local state, reason = found and state_of(found[1]), 'merged into ' .. (starter or '')
  if state ~= 'held' and state ~= 'scheduled' then return false end
  if DIGESTS.is_unbegun(q, starter) then
    if cancel then redis.call('HSETNX', q.task .. id, 'cancel_requested', cancel) end
    if state == 'scheduled' then
      hold_task(q, id, 'digest', NO_END)
      redis.call('ZREM', q.due, id)
    end
    return true
  end
  finish(q, id, 'skipped', now, found[3], reason)
  event(q, 'skipped', id, 'reason', reason)
  count(q, now, 'skipped', 1)
  redis.call('ZREM', q.due, id)
  leave_hold(q, id, found[2])
  return true
end

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
  elseif state ~= 'running' and DIGESTS.has(found[5]) and end_merged(q, id, now, reason) then
    return 'finished'
  elseif state == 'scheduled' or state == 'held' or state == 'ready' or state == 'running' then
    local why = state == 'held' and redis.call('HGET', q.task .. id, 'blocked')
    call_off(q, id, now, found[3], reason)
    redis.call('ZREM', q.due, id)
    if state == 'held' then leave_hold(q, id, why or nil) end
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

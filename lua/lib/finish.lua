-- finish: the last place of a task. New place first, then the hash; the caller leaves the old place.

local KEEP_FINISHED, KEEP_DEAD = 3600000, 2592000000
local FINISHED = {completed = true, skipped = true, expired = true, cancelled = true}

-- End a task as completed, skipped, expired or cancelled; its id stays known until its retention ends.
local function finish(q, id, state, now, retention, reason)
  local keep = number_or('retention_ms', retention, KEEP_FINISHED) or KEEP_FINISHED
  if keep == 0 then
    redis.call('UNLINK', q.task .. id, q.outcome .. id)
    return
  end
  redis.call('ZADD', q.finished, now + keep, id)
  if reason and reason ~= '' then
    redis.call('HSET', q.task .. id, 'state', state, 'finished_at', now, 'reason', reason)
  else
    redis.call('HSET', q.task .. id, 'state', state, 'finished_at', now)
  end
end

-- A task past its start-by never starts.
local function expire(q, id, now, retention, reason)
  finish(q, id, 'expired', now, retention, reason)
  event(q, 'expired', id)
  count(q, now, 'expired', 1)
  return 'expired'
end

local function call_off(q, id, now, retention, reason)
  finish(q, id, 'cancelled', now, retention, reason)
  event(q, 'cancelled', id)
  count(q, now, 'cancelled', 1)
  return 'cancelled'
end

-- Make a task a dead letter: it never runs again by itself, and it can be revived.
local function bury(q, id, now, reason)
  redis.call('ZADD', q.dead, now + KEEP_DEAD, id)
  redis.call('HSET', q.task .. id, 'state', 'dead', 'finished_at', now, 'reason', reason)
  event(q, 'dead', id, 'reason', reason)
  count(q, now, 'dead', 1)
  return 'dead'
end

-- An id that names no readable task: set aside, capped, and nothing is written to its key.
local function quarantine(q, id, now, reason)
  redis.call('ZADD', q.quarantine, now, reason .. ':' .. string.sub(id, 1, 128))
  redis.call('ZREMRANGEBYRANK', q.quarantine, 0, -10001)
  event(q, 'quarantined', string.sub(id, 1, 128), 'reason', reason)
  count(q, now, 'quarantined', 1)
end

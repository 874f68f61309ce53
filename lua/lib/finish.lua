-- finish: the last place of a task. New place first, then the hash; the caller leaves the old place.

local KEEP_FINISHED, KEEP_DEAD = 3600000, 2592000000
local FINISHED = {completed = true, skipped = true, expired = true, cancelled = true}

-- End a task as completed, skipped, expired or cancelled; its id stays known until its retention ends. More fields may
-- follow.
local function finish(q, id, state, now, retention, reason, ...)
  local bound = redis.call('HGET', q.task .. id, 'bound')
  local keep = number_or('retention_ms', retention, KEEP_FINISHED) or KEEP_FINISHED
  if bound then keep = math.max(keep, KEEP_TIED) end
  announce_unrun(q, id, state, bound, now)
  if keep == 0 then
    redis.call('UNLINK', q.task .. id, q.outcome .. id)
    return
  end
  redis.call('ZADD', q.finished, now + keep, id)
  local told = {...}
  if reason and reason ~= '' then told[#told + 1], told[#told + 2] = 'reason', reason end
  redis.call('HSET', q.task .. id, 'state', state, 'finished_at', now, unpack(told))
  untie(q, id, now, bound)
end

-- A task past its start-by never starts.
local function expire(q, id, now, retention, reason, ...)
  finish(q, id, 'expired', now, retention, reason, ...)
  event(q, 'expired', id)
  count(q, now, 'expired', 1)
  return 'expired'
end

local function call_off(q, id, now, retention, reason, ...)
  finish(q, id, 'cancelled', now, retention, reason, ...)
  event(q, 'cancelled', id)
  count(q, now, 'cancelled', 1)
  return 'cancelled'
end

-- Make a task a dead letter: it never runs again by itself, and it can be revived.
local function bury(q, id, now, reason)
  local bound = redis.call('HGET', q.task .. id, 'bound')
  announce_unrun(q, id, 'dead', bound, now)
  redis.call('ZADD', q.dead, now + KEEP_DEAD, id)
  redis.call('HSET', q.task .. id, 'state', 'dead', 'finished_at', now, 'reason', reason)
  untie(q, id, now, bound)
  event(q, 'dead', id, 'reason', reason)
  count(q, now, 'dead', 1)
  return 'dead'
end

-- An id that names no readable task: set aside, and nothing is written to its key. The caller tells of it at its end.
local function quarantine(q, id, now, reason)
  local short = string.sub(id, 1, 128)
  redis.call('ZADD', q.quarantine, now, reason .. ':' .. short)
  local first = q.aside[reason]
  if first then
    first.n = first.n + 1
  else
    q.aside[reason] = {id = short, n = 1}
    q.aside[#q.aside + 1] = reason
  end
end

-- What a call set aside: the cap, and one event a reason, with its first id and how many more there were.
local function tell_aside(q, now)
  if #q.aside == 0 then return end
  local evicted = redis.call('ZREMRANGEBYRANK', q.quarantine, 0, -10001)
  local total = 0
  for _, reason in ipairs(q.aside) do
    local first = q.aside[reason]
    if first.n > 1 then
      event(q, 'quarantined', first.id, 'reason', reason, 'more', first.n - 1)
    else
      event(q, 'quarantined', first.id, 'reason', reason)
    end
    total = total + first.n
  end
  count(q, now, 'quarantined', total)
  CAPS.tell(q, now, 'quarantine', evicted, 0)
  q.aside = {}
end

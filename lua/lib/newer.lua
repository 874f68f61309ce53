-- newer: tasks that ask for what only a newer redsched knows. Nothing here lets one run, and none is lost: each is looked at
-- again until one that knows decides it.

local NEWER_LATER, NEWER_LATEST = 5000, 60000           -- ms until the next look: as long as it has waited, between these two

-- Whether a script made the task. Then another redsched took its words for good; a raw producer's are malformed.
local function is_made(q, id) return redis.call('HEXISTS', q.task .. id, 'created_at') == 1 end

-- Its place, then its hash; more fields may follow. The caller takes it from another old place.
local function postpone(q, id, now, ...)
  local key = q.task .. id
  local since = redis.call('HGET', key, 'postponed')
  local first = whole(since or '', 1e11, 4e12) or now
  local due = text(now + math.max(NEWER_LATER, math.min(now - first, NEWER_LATEST)))
  redis.call('ZADD', q.due, due, id)
  redis.call('HSET', key, 'postponed', text(first), ...)
  if not since then event(q, 'postponed', id, 'reason', 'newer', 'due', due) end
end

-- hold: a task that waits for something else than a time; the field blocked says for what: confirm, facts, parents, line or
-- pause:<what>.

local NO_END = 4e12                                     -- the score of a hold that only its reason ends

-- Say when the mover has to look at something again; what it is about must be there already.
local function remind(prefix, item, at)
  redis.call('ZADD', prefix .. 'agenda', 'LT', text(math.max(at, 0)), item)
end

-- How far a longer item of the agenda has come.
local function cursor_of(prefix, item)
  return soft('HGET', prefix .. 'cursors', item) or ''
end

-- A key of another type in its place goes: without a cursor the same listeners would be told for ever.
local function keep_cursor(prefix, item, last)
  local key = prefix .. 'cursors'
  if not last then
    soft('HDEL', key, item)
  elseif not soft('HSET', key, item, last) then
    redis.call('UNLINK', key)
    redis.call('HSET', key, item, last)
  end
end

-- The same of an item that may have come half its way without what it has to tell now.
local function remind_from_start(prefix, item, at)
  remind(prefix, item, at)
  soft('HDEL', prefix .. 'cursors', item)
end

-- The new place, then the hash; the caller leaves the old place. More fields may follow.
local function hold_task(q, id, why, till, ...)
  if till < NO_END then remind(q.prefix, 'hold/' .. q.name, till) end
  redis.call('ZADD', q.held, text(math.min(till, NO_END)), id)
  redis.call('HSET', q.task .. id, 'state', 'held', 'blocked', why, ...)
end

-- Leave what the hold of a task keeps beside its place.
local function leave_stop(q, id, why)
  local what = string.match(why or '', '^pause:(.*)$')
  if what then redis.call('ZREM', q.stopped .. what, id) end
end

-- Leave the hold, once the hash has another state: what tells of the hold comes to a task that is held as long as that says why.
local function leave_hold(q, id, why)
  leave_stop(q, id, why)
  redis.call('HDEL', q.task .. id, 'blocked')
  redis.call('ZREM', q.held, id)
end

-- When a released task is due. A delay counts from here; a pause leaves the due time as it was.
local function due_again(blocked, due_at, delay_ms, now)
  local delay, due = whole(delay_ms or '', 0, 31536000000), whole(due_at or '', 1e11, 4e12)
  if delay then return now + delay end
  if not due or due < now and not string.find(blocked or '', '^pause:') then return now end
  return due
end

-- held -> scheduled, where promote judges it.
local function release_task(q, id, now)
  local found = read(q.task .. id, 'state', 'blocked', 'due_at', 'delay_ms')
  if not found or found[1] ~= 'held' then
    redis.call('ZREM', q.held, id)
    return
  end
  local due = due_again(found[2], found[3], found[4], now)
  redis.call('ZADD', q.due, text(due), id)
  q.released = q.released or {}
  q.released[id] = true                                 -- promote may have judged it earlier in this call: it stays in due
  redis.call('HSET', q.task .. id, 'state', 'scheduled', 'blocked', '', 'delay_ms', '')   -- at once: the delay counts once
  redis.call('HDEL', q.task .. id, 'blocked', 'delay_ms')
  leave_stop(q, id, found[2])
  redis.call('ZREM', q.held, id)
  event(q, 'released', id, 'after', found[2] or '', 'due', text(due))
end

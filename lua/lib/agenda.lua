-- agenda: what the mover has to look at and when: <kind>/<what> -> ms. Each kind answers how much of the call's limit it
-- used (two for a task looked at alone), and when it is looked at again (ms; nil: never).

local AGENDA = {}

local function alone(limit) return math.ceil(limit / 2) end

-- hold/<queue>: holds whose end has come. Promote decides what becomes of them.
AGENDA.hold = function(prefix, queue, limit, now)
  local q = open(prefix .. 'due:' .. queue)
  local ids = redis.call('ZRANGE', q.held, '-inf', now, 'BYSCORE', 'LIMIT', 0, alone(limit))
  for_each(#ids, 1, function(i)
    if i > 1 and is_over() then return true end
    weigh(1)
    if is_id(ids[i]) then release_task(q, ids[i], now) else redis.call('ZREM', q.held, ids[i]) end
  end, function(i, trouble)
    set_aside_or_raise(q, ids[i], now, trouble)
    redis.call('ZREM', q.held, ids[i])
  end)
  local after = earliest(q.held)
  return 2 * #ids, after >= 0 and after < NO_END and after or nil
end

-- Listeners of an event, of one queue or all. Who could not be told is told again after a minute, then for as long as the
-- event is old, up to ten minutes: a key of the queue has a wrong type, or only a newer redsched knows what is waited for.
local function tell_some(prefix, item, name, limit, now, only)
  local cursor = cursor_of(prefix, item)
  local since, before, from = string.match(cursor, '^(%d+)(!?) (.*)$')
  since = whole(since or '', 0, 1e15) or now
  local _, last, used, left = tell_listeners(prefix, name, from or cursor, limit, since, now, only)
  local failed = only and left > 0 or before == '!'
  if last then
    keep_cursor(prefix, item, telling(since, failed, last))
    return used, now
  end
  keep_cursor(prefix, item, failed and telling(since, false, ''))
  return used, failed and now + math.max(60000, math.min(now - since, 600000)) or nil
end

-- heard/<fact>: an event that has more listeners than one call tells.
AGENDA.heard = function(prefix, name, limit, now) return tell_some(prefix, 'heard/' .. name, name, limit, now) end

-- listeners/<queue>/<fact>: those of one queue, which whoever came to them before could not tell, or may not.
AGENDA.listeners = function(prefix, what, limit, now)
  local queue, name = string.match(what, '^([^/]+)/(.+)$')
  if not is_name(queue) or not is_fact(name) then return 1 end
  return tell_some(prefix, 'listeners/' .. what, name, limit, now, queue)
end

-- Tasks that rules make of an event, in one queue or all.
local function make_some(prefix, item, id, name, limit, now, only)
  local from, data = string.match(cursor_of(prefix, item), '^(%S*) (.*)$')
  if not from or not is_id(id) or not is_fact(name) then return 1 end
  local made, last = follow_rules(prefix, happening(name, id, data), from, 8 * limit, now, only)
  keep_cursor(prefix, item, last and last .. ' ' .. data)
  return 2 * #made, last and now
end

-- rules/<event's id>/<fact>: an event that has more rules than one call carries out.
AGENDA.rules = function(prefix, what, limit, now)
  local id, name = string.match(what, '^([^/]+)/([^/]+)$')
  return make_some(prefix, 'rules/' .. what, id, name, limit, now)
end

-- made/<queue>/<event's id>/<fact>: those that make a task in one queue, which whoever came to them before may not write.
AGENDA.made = function(prefix, what, limit, now)
  local queue, id, name = string.match(what, '^([^/]+)/([^/]+)/([^/]+)$')
  return make_some(prefix, 'made/' .. what, id, name, limit, now, queue)
end

-- A further /<queue> at the end of the item: only the children of that queue.
local function tell_of_end(kind, prefix, what, limit, now)
  local item, state, parent, only = kind .. '/' .. what, string.match(what, '^(%a+)/([^/]+/[^/]+)/?(.*)$')
  if not state then return 0 end
  local before, from = string.match(cursor_of(prefix, item), '^(!?)(.*)$')   -- ! where some have to be told again
  local told, last, again = HEARD.tell_children(prefix, state, parent, from, alone(limit), now, kind == 'removed', only)
  again = again or before == '!'
  keep_cursor(prefix, item, last and (again and '!' or '') .. last)
  return 2 * told, last and now or again and now + NEWER_LATER
end

-- ended/<state>/<queue>/<id>: a task that others come after.
AGENDA.ended = function(...) return tell_of_end('ended', ...) end

-- removed/<gone or completed>/<queue>/<id>: one of which nothing is left; another may have its id.
AGENDA.removed = function(...) return tell_of_end('removed', ...) end

-- digest/<queue>/<digest>: the tasks of one that has started end as part of it. One that waits is looked at after it was to
-- close: its first task may be gone.
AGENDA.digest = function(prefix, what, limit, now)
  local queue, name = string.match(what, '^([^/]+)/(.+)$')
  if not queue or not is_name(queue) then return 0 end
  local q = open(prefix .. 'due:' .. queue)
  local starter, most = DIGESTS.started_by(q, name), alone(limit)
  if starter and DIGESTS.is_unbegun(q, starter) then return 1, now + 1000 end   -- another may have to take its place
  if starter then
    local ids = redis.call('ZRANGE', q.digest_members .. name, 0, most)
    for i, id in ipairs(ids) do
      if i > 1 and is_over() then return 2 * i, now end
      weigh(1)
      if id ~= starter then
        end_merged(q, id, now)
        redis.call('ZREM', q.digest_members .. name, id)
      end
    end
    if #ids > most then return 2 * #ids, now end
    DIGESTS.drop(q, name)
    return 2 * #ids
  end
  local first = DIGESTS.first(q, name)
  if first then
    DIGESTS.lead(q, first, now, now)
    return 2, math.max(tonumber(redis.call('ZSCORE', q.due, first) or '') or now + 60000, now) + 1000
  end
  if redis.call('ZCARD', q.digest_members .. name) > 0 then return 100, now end
  DIGESTS.drop(q, name)
  return 1
end

-- resume/<queue>/<what>: tasks that a pause set aside.
AGENDA.resume = function(prefix, name, limit, now)
  local queue, what = string.match(name, '^([^/]+)/(.+)$')
  if not queue or not is_name(queue) then return 0 end
  local q = open(prefix .. 'due:' .. queue)
  local line = soft('HGET', q.paused, what)
  if line and is_stopped(line, now) then
    local till = tonumber(string.match(line, '^(%d+) ') or 0)
    return 0, till > 0 and till or nil
  elseif line then
    redis.call('HDEL', q.paused, what)
    event(q, 'resumed', what)
  end
  local ids = redis.call('ZRANGE', q.stopped .. what, 0, alone(limit) - 1)
  local looked = 0
  for_each(#ids, 1, function(i)
    if i > 1 and is_over() then return true end
    weigh(1)
    looked = i
    local blocked = is_id(ids[i]) and soft('HGET', q.task .. ids[i], 'blocked')
    if blocked == 'pause:' .. what then release_task(q, ids[i], now) end
    redis.call('ZREM', q.stopped .. what, ids[i])
  end, function(i, trouble)
    set_aside_or_raise(q, ids[i], now, trouble)
    redis.call('ZREM', q.held, ids[i])
    redis.call('ZREM', q.stopped .. what, ids[i])
  end)
  return 2 * looked, (looked < #ids or #ids == alone(limit)) and now or nil
end

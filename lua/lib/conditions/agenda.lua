-- agenda: what the mover does with each kind of item of the agenda. The module holds one function a kind and nothing else.
-- Each answers how much of the call's limit it used (two for a task that is looked at alone), and when the item is looked
-- at again (ms; nil: never).
--
-- USES  budget, keys, check, safe, errors, events, isolation, cancel, schema, reminders, holds, newer_version, digests
-- USES  pauses, rules, notify, listeners

local function alone(limit) return math.ceil(limit / 2) end

-- hold/<queue>: holds whose end has come. Promote decides what becomes of them.
function agenda.hold(prefix, queue, limit, now)
  local q = keys.open(prefix .. 'due:' .. queue)
  local ids = redis.call('ZRANGE', q.held, '-inf', now, 'BYSCORE', 'LIMIT', 0, alone(limit))
  errors.for_each(#ids, 1, function(i)
    if i > 1 and budget.is_spent() then return true end
    budget.spend(1)
    if keys.is_id(ids[i]) then holds.release(q, ids[i], now) else redis.call('ZREM', q.held, ids[i]) end
  end, function(i, trouble)
    isolation.set_aside_or_raise(q, ids[i], now, trouble)
    redis.call('ZREM', q.held, ids[i])
  end)
  local after = safe.earliest(q.held)
  return 2 * #ids, after >= 0 and after < holds.NO_END and after or nil
end

-- Tell listeners of an event, of one queue or of all. A listener that could not be told is told again: a key of its queue
-- has a wrong type, or only a newer redsched knows its conditions. The pause before that is as long as the event is old,
-- between one and ten minutes.
local function tell_some(prefix, item, name, limit, now, only)
  local cursor = reminders.cursor(prefix, item)
  local since, before, from = string.match(cursor, '^(%d+)(!?) (.*)$')
  since = check.whole(since or '', 0, 1e15) or now
  local _, last, used, left = listeners.tell(prefix, name, from or cursor, limit, since, now, only)
  local failed = only and left > 0 or before == '!'
  if last then
    reminders.keep_cursor(prefix, item, listeners.cursor(since, failed, last))
    return used, now
  end
  reminders.keep_cursor(prefix, item, failed and listeners.cursor(since, false, ''))
  return used, failed and now + math.max(60000, math.min(now - since, 600000)) or nil
end

-- heard/<fact>: an event that has more listeners than one call tells.
function agenda.heard(prefix, name, limit, now) return tell_some(prefix, 'heard/' .. name, name, limit, now) end

-- listeners/<queue>/<fact>: listeners of one queue that an earlier call could not tell, or had no right to.
function agenda.listeners(prefix, what, limit, now)
  local queue, name = string.match(what, '^([^/]+)/(.+)$')
  if not keys.is_name(queue) or not schema.is_fact(name) then return 1 end
  return tell_some(prefix, 'listeners/' .. what, name, limit, now, queue)
end

-- Make the tasks of rules for an event, in one queue or in all.
local function make_some(prefix, item, id, name, limit, now, only)
  local from, data = string.match(reminders.cursor(prefix, item), '^(%S*) (.*)$')
  if not from or not keys.is_id(id) or not schema.is_fact(name) then return 1 end
  local made, last = rules.follow(prefix, rules.happening(name, id, data), from, 8 * limit, now, only)
  reminders.keep_cursor(prefix, item, last and last .. ' ' .. data)
  return 2 * #made, last and now
end

-- rules/<event's id>/<fact>: an event that has more rules than one call carries out.
function agenda.rules(prefix, what, limit, now)
  local id, name = string.match(what, '^([^/]+)/([^/]+)$')
  return make_some(prefix, 'rules/' .. what, id, name, limit, now)
end

-- made/<queue>/<event's id>/<fact>: rules that make a task in one queue; an earlier call had no right to write it.
function agenda.made(prefix, what, limit, now)
  local queue, id, name = string.match(what, '^([^/]+)/([^/]+)/([^/]+)$')
  return make_some(prefix, 'made/' .. what, id, name, limit, now, queue)
end

-- Tell the children of a task that has ended. If the item ends in a further /<queue>, only the children of that queue.
local function tell_of_end(kind, prefix, what, limit, now)
  local item, state, parent, only = kind .. '/' .. what, string.match(what, '^(%a+)/([^/]+/[^/]+)/?(.*)$')
  if not state then return 0 end
  local before, from = string.match(reminders.cursor(prefix, item), '^(!?)(.*)$')   -- !: some have to be told again
  local told, last, again = notify.children(prefix, state, parent, from, alone(limit), now, kind == 'removed', only)
  again = again or before == '!'
  reminders.keep_cursor(prefix, item, last and (again and '!' or '') .. last)
  return 2 * told, last and now or again and now + newer_version.LOOK_AGAIN
end

-- ended/<state>/<queue>/<id>: a task that others come after.
function agenda.ended(...) return tell_of_end('ended', ...) end

-- removed/<gone or completed>/<queue>/<id>: a task that was removed; another may have its id.
function agenda.removed(...) return tell_of_end('removed', ...) end

-- digest/<queue>/<digest>: if the digest has started, its other tasks end as part of it. If it waits, it is looked at after
-- the time at which it was to close: its first task may be gone.
function agenda.digest(prefix, what, limit, now)
  local queue, name = string.match(what, '^([^/]+)/(.+)$')
  if not queue or not keys.is_name(queue) then return 0 end
  local q = keys.open(prefix .. 'due:' .. queue)
  local starter, most = digests.started_by(q, name), alone(limit)
  if starter and digests.is_unbegun(q, starter) then return 1, now + 1000 end   -- another may have to take its place
  if starter then
    local ids = redis.call('ZRANGE', q.digest_members .. name, 0, most)
    for i, id in ipairs(ids) do
      if i > 1 and budget.is_spent() then return 2 * i, now end
      budget.spend(1)
      if id ~= starter then
        cancel.end_merged(q, id, now)
        redis.call('ZREM', q.digest_members .. name, id)
      end
    end
    if #ids > most then return 2 * #ids, now end
    digests.drop(q, name)
    return 2 * #ids
  end
  local first = digests.first(q, name)
  if first then
    digests.lead(q, first, now, now)
    return 2, math.max(tonumber(redis.call('ZSCORE', q.due, first) or '') or now + 60000, now) + 1000
  end
  if redis.call('ZCARD', q.digest_members .. name) > 0 then return 100, now end
  digests.drop(q, name)
  return 1
end

-- resumed/all: everything was paused. Each queue with tasks that this set aside gets an item of its own.
function agenda.resumed(prefix, what, limit, now)
  local key, item = prefix .. 'paused', 'resumed/' .. what
  local line = safe.call('HGET', key, what)
  if line and pauses.is_active(line, now) then
    reminders.keep_cursor(prefix, item)
    return 0, pauses.end_of(line)
  elseif line then
    redis.call('HDEL', key, what)
  end
  local page = safe.call('SSCAN', prefix .. 'queues', string.match(reminders.cursor(prefix, item), '^%d+$') or '0',
    'COUNT', math.max(limit, 10)) or {'0', {}}
  for _, name in ipairs(page[2]) do
    local stopped = keys.is_name(name) and redis.call('EXISTS', prefix .. 'stopped:' .. name .. ':' .. what) == 1
    if stopped then reminders.add(prefix, 'resume/' .. name .. '/' .. what, 0) end
  end
  reminders.keep_cursor(prefix, item, page[1] ~= '0' and page[1] or nil)
  return math.ceil(#page[2] / 4), page[1] ~= '0' and now or nil
end

-- resume/<queue>/<what>: tasks that a pause set aside.
function agenda.resume(prefix, name, limit, now)
  local queue, what = string.match(name, '^([^/]+)/(.+)$')
  if not queue or not keys.is_name(queue) then return 0 end
  local q = keys.open(prefix .. 'due:' .. queue)
  local line = safe.call('HGET', pauses.key(q, what), what)
  if line and pauses.is_active(line, now) then
    return 0, pauses.end_of(line)
  elseif line and what ~= 'all' then
    redis.call('HDEL', q.paused, what)
    events.tell(q, 'resumed', what)
  end
  local ids = redis.call('ZRANGE', q.stopped .. what, 0, alone(limit) - 1)
  local looked = 0
  errors.for_each(#ids, 1, function(i)
    if i > 1 and budget.is_spent() then return true end
    budget.spend(1)
    looked = i
    local held_for = keys.is_id(ids[i]) and safe.call('HGET', q.task .. ids[i], 'blocked')
    if held_for == 'pause:' .. what then holds.release(q, ids[i], now) end
    redis.call('ZREM', q.stopped .. what, ids[i])
  end, function(i, trouble)
    isolation.set_aside_or_raise(q, ids[i], now, trouble)
    redis.call('ZREM', q.held, ids[i])
    redis.call('ZREM', q.stopped .. what, ids[i])
  end)
  return 2 * looked, (looked < #ids or #ids == alone(limit)) and now or nil
end

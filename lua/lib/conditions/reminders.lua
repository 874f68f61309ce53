-- reminders: what the mover has to look at again, and when: {namespace}:agenda, item -> ms. Cursors say how far the work on
-- a longer item has come.
--
-- USES  clock, safe

-- Note when the mover has to look at something again; what it is about must exist already.
function reminders.add(prefix, item, at)
  redis.call('ZADD', prefix .. 'agenda', 'LT', clock.text(math.max(at, 0)), item)
end

-- How far a longer item of the agenda has come.
function reminders.cursor(prefix, item)
  return safe.call('HGET', prefix .. 'cursors', item) or ''
end

-- Keep or remove a cursor. If the key has another type, it is removed: without a cursor the same listeners would be told for
-- ever.
function reminders.keep_cursor(prefix, item, last)
  local key = prefix .. 'cursors'
  if not last then
    safe.call('HDEL', key, item)
  elseif not safe.call('HSET', key, item, last) then
    redis.call('UNLINK', key)
    redis.call('HSET', key, item, last)
  end
end

-- Add an item whose work has to begin anew, however far an earlier one had come.
function reminders.add_from_start(prefix, item, at)
  reminders.add(prefix, item, at)
  safe.call('HDEL', prefix .. 'cursors', item)
end

-- Whether an item is in the agenda. by: the latest time that it may have; nil: any time.
function reminders.is_set(prefix, item, by)
  local at = tonumber(safe.call('ZSCORE', prefix .. 'agenda', item) or '')
  return at ~= nil and (not by or at <= by)
end

-- pauses: what is paused: every queue (all), a queue (queue), a type (type:<type>) or a key (key:<key>) of it.
--
-- USES  safe, stats, holds

-- The hash that says of a thing whether it is paused.
function pauses.key(q, what) return what == 'all' and q.prefix .. 'paused' or q.paused end

-- The item of the agenda by which the mover lets go what a pause set aside.
function pauses.reminder(q, what) return what == 'all' and 'resumed/all' or 'resume/' .. q.name .. '/' .. what end

-- What is paused of these things of a queue: thing -> "<until, ms; 0: until resumed> <since, ms> <reason>".
function pauses.of(q, ...)
  local found, values = {}, safe.call('HMGET', q.paused, ...) or {}
  for i, what in ipairs({...}) do found[what] = values[i] or nil end
  found.all = pauses.of_all(q)
  return found
end

-- The same of every queue; nil where this caller, with the rights of an older redsched, may not know.
function pauses.of_all(q)
  local line = redis.pcall('HGET', pauses.key(q, 'all'), 'all')
  return type(line) == 'string' and line or nil
end

-- When a pause ends, ms; nil: when it is resumed.
function pauses.end_of(line)
  local till = tonumber(string.match(line, '^(%d+) ') or 0)
  return till > 0 and till or nil
end

function pauses.is_active(line, now)
  local till = line and tonumber(string.match(line, '^(%d+) ') or '')   -- a line of another form pauses nothing
  return till ~= nil and (till == 0 or till > now)
end

-- Whether a thing is paused; asked once a call and queue.
local function is_paused(q, what, now)
  if q.stops[what] == nil then
    q.stops[what] = pauses.is_active(safe.call('HGET', pauses.key(q, what), what) or nil, now)
  end
  return q.stops[what]
end

-- Whether anything of a queue may be paused; asked once a call. A caller with the rights of an older redsched does not see
-- that everything is paused.
function pauses.are_there(q)
  if q.stops ~= nil then return q.stops ~= false end
  local found = redis.pcall('EXISTS', q.paused, pauses.key(q, 'all'))
  if type(found) == 'number' then
    q.stops = found > 0 and {}
  else
    q.stops = redis.call('EXISTS', q.paused) == 1 and {all = false}
  end
  return q.stops ~= false
end

-- What pauses a task now; nil if nothing does. Thousands of keys may be paused, so each is looked up by its name, and
-- nothing at all if nothing is paused.
function pauses.by(q, type, id, now)
  if not pauses.are_there(q) then return nil end
  if is_paused(q, 'queue', now) then return 'queue' end
  if is_paused(q, 'all', now) then return 'all' end
  if is_paused(q, 'type:' .. type, now) then return 'type:' .. type end
  local key = redis.call('HGET', q.task .. id, 'key')
  if key and is_paused(q, 'key:' .. key, now) then return 'key:' .. key end
end

-- Hold a task until what is paused is resumed, or its start-by passes; the caller leaves the old place.
function pauses.hold(q, id, what, due_at, expires)
  if what == 'all' then stats.add_queue(q) end          -- so that it is found when everything is resumed
  redis.call('ZADD', q.stopped .. what, due_at, id)
  redis.call('HSETNX', q.task .. id, 'bound', '-')      -- so that whoever removes the task looks where it was held
  holds.put(q, id, 'pause:' .. what, expires, 'due_at', due_at)
end

-- Until when a thing is paused, ms (0: until it is resumed); nil if it is not paused.
function pauses.till(q, what)
  local line = safe.call('HGET', pauses.key(q, what), what)
  return line and tonumber(string.match(line, '^(%d+) ') or '') or nil
end

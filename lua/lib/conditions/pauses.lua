-- pauses: what is paused in a queue: all of it (queue), a type (type:<type>) or a key (key:<key>).
--
-- USES  safe, holds

-- What is paused of these things: thing -> "<until, ms; 0: until resumed> <since, ms> <reason>".
function pauses.of(q, ...)
  local found, values = {}, safe.call('HMGET', q.paused, ...) or {}
  for i, what in ipairs({...}) do found[what] = values[i] or nil end
  return found
end

function pauses.is_active(line, now)
  local till = line and tonumber(string.match(line, '^(%d+) ') or '')   -- a line of another form pauses nothing
  return till ~= nil and (till == 0 or till > now)
end

-- Whether a thing is paused; asked once a call and queue.
local function is_paused(q, what, now)
  if q.stops[what] == nil then q.stops[what] = pauses.is_active(pauses.of(q, what)[what], now) end
  return q.stops[what]
end

-- Whether anything of a queue is paused; asked once a call.
function pauses.are_there(q)
  if q.stops == nil then q.stops = redis.call('EXISTS', q.paused) == 1 and {} end
  return q.stops ~= false
end

-- What pauses a task now; nil if nothing does. Thousands of keys may be paused, so each is looked up by its name, and
-- nothing at all if nothing is paused.
function pauses.by(q, type, id, now)
  if not pauses.are_there(q) then return nil end
  if is_paused(q, 'queue', now) then return 'queue' end
  if is_paused(q, 'type:' .. type, now) then return 'type:' .. type end
  local key = redis.call('HGET', q.task .. id, 'key')
  if key and is_paused(q, 'key:' .. key, now) then return 'key:' .. key end
end

-- Hold a task until what is paused is resumed, or its start-by passes; the caller leaves the old place.
function pauses.hold(q, id, what, due_at, expires)
  redis.call('ZADD', q.stopped .. what, due_at, id)
  redis.call('HSETNX', q.task .. id, 'bound', '-')      -- so that whoever removes the task looks where it was held
  holds.put(q, id, 'pause:' .. what, expires, 'due_at', due_at)
end

-- Until when a thing is paused, ms (0: until it is resumed); nil if it is not paused.
function pauses.till(q, what)
  local line = safe.call('HGET', q.paused, what)
  return line and tonumber(string.match(line, '^(%d+) ') or '') or nil
end

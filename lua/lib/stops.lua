-- stops: what is paused in a queue: all of it (queue), a type (type:<type>) or a key (key:<key>).

-- What is paused of these things: thing -> "<until, ms; 0: until resumed> <since, ms> <reason>".
local function stops_of(q, ...)
  local found, values = {}, soft('HMGET', q.paused, ...) or {}
  for i, what in ipairs({...}) do found[what] = values[i] or nil end
  return found
end

local function is_stopped(line, now)
  local till = line and tonumber(string.match(line, '^(%d+) ') or '')   -- a line of another form pauses nothing
  return till ~= nil and (till == 0 or till > now)
end

-- Whether that is paused, asked once a call and queue.
local function is_asked_stopped(q, what, now)
  if q.stops[what] == nil then q.stops[what] = is_stopped(stops_of(q, what)[what], now) end
  return q.stops[what]
end

-- What stops a task from running now; nil where nothing does. Thousands of keys may be paused, so each is asked by its name,
-- and nothing at all where nothing is paused.
local function stopped_by(q, type, id, now)
  if q.stops == nil then q.stops = redis.call('EXISTS', q.paused) == 1 and {} end
  if not q.stops then return nil end
  if is_asked_stopped(q, 'queue', now) then return 'queue' end
  if is_asked_stopped(q, 'type:' .. type, now) then return 'type:' .. type end
  local key = redis.call('HGET', q.task .. id, 'key')
  if key and is_asked_stopped(q, 'key:' .. key, now) then return 'key:' .. key end
end

-- Set a task aside until that is resumed, or its start-by passes; the caller leaves the old place.
local function hold_stopped(q, id, what, due_at, expires)
  redis.call('ZADD', q.stopped .. what, due_at, id)
  redis.call('HSETNX', q.task .. id, 'bound', '-')      -- who removes it looks where it was held
  hold_task(q, id, 'pause:' .. what, expires, 'due_at', due_at)
end

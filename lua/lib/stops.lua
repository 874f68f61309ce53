-- stops: what is paused in a queue: all of it (queue), a type (type:<type>) or a key (key:<key>).

-- Paused thing -> "<until, ms; 0: until resumed> <since, ms> <reason>"; false where nothing is.
local function stops_of(q)
  local flat, found = soft('HGETALL', q.paused), {}
  if not flat or #flat == 0 then return false end
  for i = 1, #flat, 2 do found[flat[i]] = flat[i + 1] end
  return found
end

local function is_stopped(line, now)
  local till = line and tonumber(string.match(line, '^(%d+) ') or 0)
  return till ~= nil and (till == 0 or till > now)
end

-- What stops a task from running now; nil where nothing does. Read once a call and queue.
local function stopped_by(q, type, id, now)
  if q.stops == nil then q.stops = stops_of(q) end
  if not q.stops then return nil end
  if is_stopped(q.stops.queue, now) then return 'queue' end
  if is_stopped(q.stops['type:' .. type], now) then return 'type:' .. type end
  local key = redis.call('HGET', q.task .. id, 'key')
  if key and is_stopped(q.stops['key:' .. key], now) then return 'key:' .. key end
end

-- Set a task aside until that is resumed, or its start-by passes; the caller leaves the old place.
local function hold_stopped(q, id, what, due_at, expires)
  redis.call('ZADD', q.stopped .. what, due_at, id)
  redis.call('HSETNX', q.task .. id, 'bound', '-')      -- who removes it looks where it was held
  hold_task(q, id, 'pause:' .. what, expires, 'due_at', due_at)
end

-- sweeps: when a queue is swept next, and when it is forgotten: {namespace}:sweeps, queue -> ms. It only tells: whatever is wrong
-- with it, movers sweep each queue once an hour.

local SWEEPS = {day = 86400000, hour = 3600000}

local function holds_entries(stream)
  local n = redis.pcall('XLEN', stream)
  return n ~= 0                                         -- a key of another type holds something as well
end

local function is_empty(q)
  if redis.call('EXISTS', q.due, q.held, q.running, q.finished, q.dead, q.quarantine, q.paused) > 0 then return false end
  for _, priority in ipairs(PRIORITIES) do
    if holds_entries(stream_of(q, priority)) then return false end
  end
  return not holds_entries(q.inbox)
end

-- When something may have to be removed; nil where there is nothing. consumers: how many the queue has.
local function next_time(q, now, consumers)
  local minute, at = math.floor(now / 60000), nil
  local function by(time) if time >= 0 then at = math.min(at or time, time) end end
  by(earliest(q.finished))
  by(earliest(q.dead))
  if at and CAPS.is_over(q) then by(now + 60000) end    -- those that are too young now
  if consumers > 0 then by(now + SWEEPS.hour) end
  if redis.call('EXISTS', q.stats .. ':' .. text(minute)) == 1 then by((minute + 1) * 60000) end   -- more may end in it unsaid
  return at
end

-- A queue that is empty has an appointment in a day, with half a millisecond to tell it by. Whatever ends in between takes that
-- away; where it stands, the queue is forgotten, but for its config. The next task that is enqueued lists it again.
local function forget_later(q, now)
  local at = tonumber(redis.pcall('ZSCORE', q.prefix .. 'sweeps', q.name) or '') or 0
  if at % 1 == 0 then return now + SWEEPS.day + 0.5 end
  if at > now then return at end
  redis.pcall('SREM', q.prefix .. 'queues', q.name)
  redis.pcall('UNLINK', q.stats)
end

-- Something may have to be removed now.
function SWEEPS.soon(q, now) redis.pcall('ZADD', q.prefix .. 'sweeps', 'LT', text(now), q.name) end

-- After a sweep that came to its end.
function SWEEPS.plan(q, now, consumers)
  local at = next_time(q, now, consumers)
  if not at and is_empty(q) then at = forget_later(q, now) end
  if at then
    redis.pcall('ZADD', q.prefix .. 'sweeps', string.format('%.1f', at), q.name)
  else
    redis.pcall('ZREM', q.prefix .. 'sweeps', q.name)
  end
end

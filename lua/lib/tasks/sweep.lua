-- sweep: when a queue is swept next, and when it is forgotten: {namespace}:sweeps, queue -> ms. These times only save work:
-- even if they are wrong or cannot be written, movers sweep each queue once an hour.
--
-- USES  clock, safe, caps, streams

local DAY, HOUR = 86400000, 3600000

local function holds_entries(stream)
  local n = redis.pcall('XLEN', stream)
  return n ~= 0                                         -- a key of another type holds something as well
end

local function is_empty(q)
  if redis.call('EXISTS', q.due, q.held, q.running, q.finished, q.dead, q.quarantine, q.paused) > 0 then return false end
  for _, priority in ipairs(streams.PRIORITIES) do
    if holds_entries(streams.of(q, priority)) then return false end
  end
  return not holds_entries(q.inbox)
end

-- When something may have to be removed; nil if there is nothing. consumers: how many the queue has.
local function next_time(q, now, consumers)
  local minute, at = math.floor(now / 60000), nil
  local function by(time) if time >= 0 then at = math.min(at or time, time) end end
  by(safe.earliest(q.finished))
  by(safe.earliest(q.dead))
  if at and caps.is_over(q) then by(now + 60000) end    -- for those that are too young now
  if consumers > 0 then by(now + HOUR) end
  -- more tasks may end in it without a note
  if redis.call('EXISTS', q.stats .. ':' .. clock.text(minute)) == 1 then by((minute + 1) * 60000) end
  return at
end

-- An empty queue is forgotten after a day, all but its config: a time with half a millisecond is set for that. Any task that
-- ends before then replaces this time. The next task that is enqueued enters the queue again.
local function forget_later(q, now)
  local at = tonumber(redis.pcall('ZSCORE', q.prefix .. 'sweeps', q.name) or '') or 0
  if at % 1 == 0 then return now + DAY + 0.5 end
  if at > now then return at end
  redis.pcall('SREM', q.prefix .. 'queues', q.name)
  redis.pcall('UNLINK', q.stats)
end

-- Something may have to be removed now.
function sweep.soon(q, now) redis.pcall('ZADD', q.prefix .. 'sweeps', 'LT', clock.text(now), q.name) end

-- After a sweep that came to its end.
function sweep.plan(q, now, consumers)
  local at = next_time(q, now, consumers)
  if not at and is_empty(q) then at = forget_later(q, now) end
  if at then
    redis.pcall('ZADD', q.prefix .. 'sweeps', string.format('%.1f', at), q.name)
  else
    redis.pcall('ZREM', q.prefix .. 'sweeps', q.name)
  end
end

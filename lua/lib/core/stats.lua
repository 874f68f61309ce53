-- stats: totals of a queue, and the same by minute for an hour; one HINCRBY per batch and outcome. What was counted stands
-- even if these keys cannot be written.
--
-- USES  clock

local ENDS = {completed = true, skipped = true, expired = true, cancelled = true, dead = true}
stats.LATENESS = {1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 5000, 60000, 3600000}
stats.LATENESS.names = {}                               -- converting a number is slow
for i = 1, #stats.LATENESS do stats.LATENESS.names[i] = 'late_' .. stats.LATENESS[i] end

local function by_minute(q, now, field, n)
  local minute = math.floor(now / 60000)
  if q.minute ~= minute then q.minute, q.minute_key = minute, q.stats .. ':' .. clock.text(minute) end
  local total = redis.pcall('HINCRBY', q.minute_key, field, clock.text(n))
  if total ~= n then return type(total) ~= 'number' end
  redis.pcall('PEXPIRE', q.minute_key, '3600000')
  return true
end

-- Note when a queue may have something to remove; only a time earlier than the known one changes anything.
local function plan_sweep(q, at) redis.pcall('ZADD', q.prefix .. 'sweeps', 'LT', clock.text(at), q.name) end

-- Answers whether this is the first count of the field in this minute, or might be. The first task of a minute that ends
-- makes a note that the queue has something to remove; the sweep then finds out when.
function stats.count(q, now, field, n)
  if n == 0 then return false end
  redis.pcall('HINCRBY', q.stats, field, clock.text(n))
  local first = by_minute(q, now, field, n)
  if first and ENDS[field] then plan_sweep(q, now + 10000) end
  return first
end

-- Enter the queue among those of the namespace, so that movers and the doctor find it sooner. Answers whether it was not
-- there.
function stats.add_queue(q) return redis.pcall('SADD', q.prefix .. 'queues', q.name) == 1 end

-- Count tasks that were created, and enter the queue among those of the namespace once a minute.
function stats.count_created(q, now, n)
  if stats.count(q, now, 'enqueued', n) then stats.add_queue(q) end
end

local above, up_to, bucket = 0, 0, ''                   -- the bucket of the last lateness, mostly that of the next as well

-- The upper bound (ms) of the bucket that a lateness falls into, as a field name.
function stats.lateness_bucket(late_ms)
  if late_ms > above and late_ms <= up_to then return bucket end
  above = -1e15
  for i = 1, #stats.LATENESS do
    up_to, bucket = stats.LATENESS[i], stats.LATENESS.names[i]
    if late_ms <= up_to then return bucket end
    above = up_to
  end
  up_to, bucket = 1e15, 'late_more'
  return bucket
end

-- stats: totals of a queue, and the same by minute (kept an hour); one HINCRBY per batch and outcome. Whatever is wrong with
-- these keys, what is counted stands.

local ENDS = {completed = true, skipped = true, expired = true, cancelled = true, dead = true}
local LATENESS = {1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 5000, 60000, 3600000}
LATENESS.names = {}                                     -- converting a number is slow
for i = 1, #LATENESS do LATENESS.names[i] = 'late_' .. LATENESS[i] end

local function by_minute(q, now, field, n)
  local minute = math.floor(now / 60000)
  if q.minute ~= minute then q.minute, q.minute_key = minute, q.stats .. ':' .. string.format('%.0f', minute) end
  local total = redis.pcall('HINCRBY', q.minute_key, field, n)
  if total ~= n then return type(total) ~= 'number' end
  redis.pcall('PEXPIRE', q.minute_key, 3600000)
  return true
end

-- Say when a queue may have something to remove; only an earlier time than what is known changes anything.
local function plan_sweep(q, at) redis.pcall('ZADD', q.prefix .. 'sweeps', 'LT', text(at), q.name) end

-- Answers whether it is the first of this field in this minute, or may be, as nobody can tell. The first task of a minute that ends
-- says that the queue has something to remove, and the sweep then looks when that is.
local function count(q, now, field, n)
  if n == 0 then return false end
  redis.pcall('HINCRBY', q.stats, field, n)
  local first = by_minute(q, now, field, n)
  if first and ENDS[field] then plan_sweep(q, now + 10000) end
  return first
end

-- Say that there is such a queue: movers and the doctor find it sooner by that.
local function list_queue(q) return redis.pcall('SADD', q.prefix .. 'queues', q.name) == 1 end

-- Count tasks that were created, and once a minute say that there is such a queue.
local function count_created(q, now, n)
  if count(q, now, 'enqueued', n) then list_queue(q) end
end

-- The upper bound (ms) of the bucket that a lateness falls into, as a field name.
local function lateness_bucket(late)
  for i = 1, #LATENESS do
    if late <= LATENESS[i] then return LATENESS.names[i] end
  end
  return 'late_more'
end

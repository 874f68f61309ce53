-- stats: totals of a queue, and the same by minute (kept an hour); one HINCRBY per batch and outcome.

local LATENESS = {1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 5000, 60000, 3600000}

local function by_minute(q, now, field, n)
  local minute = math.floor(now / 60000)
  if q.minute ~= minute then q.minute, q.minute_key = minute, q.stats .. ':' .. string.format('%.0f', minute) end
  if redis.call('HINCRBY', q.minute_key, field, n) ~= n then return false end
  redis.call('PEXPIRE', q.minute_key, 3600000)
  return true
end

-- Answers whether it is the first of this field in this minute.
local function count(q, now, field, n)
  if n == 0 then return false end
  redis.call('HINCRBY', q.stats, field, n)
  return by_minute(q, now, field, n)
end

-- Count tasks that were created, and once a minute say that there is such a queue.
local function count_created(q, now, n)
  if count(q, now, 'enqueued', n) then redis.call('SADD', q.prefix .. 'queues', q.name) end
end

-- The upper bound (ms) of the bucket that a lateness falls into, as a field name.
local function lateness_bucket(late)
  for i = 1, #LATENESS do
    if late <= LATENESS[i] then return 'late_' .. LATENESS[i] end
  end
  return 'late_more'
end

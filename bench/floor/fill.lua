#!lua name=benchfloorfill

-- first, count, due: tasks that only lie there, as enqueue writes them, their due times a millisecond apart
local function fill(_, words)
  local first, count, due = tonumber(words[1]), tonumber(words[2]), tonumber(words[3])
  local task, due_set, scores = words[4], words[5], {}
  local text = string.rep('x', 70)
  for n = first, first + count - 1 do
    local id, at = string.format('f-%032x', n), string.format('%.0f', due + n)
    redis.call('HSET', task .. id, 'created_at', '1700000000000', 'type', 'bench.noop', 'payload',
      '{"number":0,"due_ms":0,"text":"' .. text .. '"}')
    scores[#scores + 1] = at
    scores[#scores + 1] = id
  end
  redis.call('ZADD', due_set, unpack(scores))
  return count
end

-- count: look for a key, and for a member of the due set, that are not there: each look moves a hash table that grew a
-- step on towards its new size
local function visit(_, words)
  for _ = 1, tonumber(words[1]) do
    redis.call('EXISTS', 'benchfloor')
    redis.call('ZSCORE', words[2], 'benchfloor')
  end
  return tonumber(words[1])
end

redis.register_function('floor_fill', fill)
redis.register_function('floor_visit', visit)

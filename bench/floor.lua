#!lua name=benchfloor

-- floor: the commands of a task's life with nothing checked and nothing promised: what the parts cost alone.
-- The keys are redsched's; every call takes and answers what the verb of the same name does.

local TASK, DUE, READY = '{rs}:task:bench:', '{rs}:due:bench', '{rs}:ready:bench'
local RUNNING, FINISHED = '{rs}:running:bench', '{rs}:finished:bench'

-- id, due, type, payload of each task
local function enqueue(_, words)
  local scores = {}
  for i = 1, #words, 4 do
    scores[#scores + 1] = words[i + 1]
    scores[#scores + 1] = words[i]
  end
  redis.call('ZADD', DUE, unpack(scores))
  for i = 1, #words, 4 do
    redis.call('HSET', TASK .. words[i], 'created_at', words[i + 1], 'type', words[i + 2], 'payload', words[i + 3])
  end
  return #words / 4
end

local function add_ready(id, stamp, ...)
  local entry = redis.call('XADD', READY, '*', 'id', id)
  redis.call('HSET', TASK .. id, 'state', 'ready', 'entry', 'normal/' .. entry, 'due_at', stamp, ...)
end

-- as enqueue, of tasks that are due at once
local function enqueue_ready(_, words)
  for i = 1, #words, 4 do
    add_ready(words[i], words[i + 1], 'created_at', words[i + 1], 'type', words[i + 2], 'payload', words[i + 3])
  end
  return #words / 4
end

-- now, limit
local function promote(_, words)
  local due, left = redis.call('ZRANGE', DUE, '-inf', words[1], 'BYSCORE', 'LIMIT', 0, words[2], 'WITHSCORES'), {}
  for i = 1, #due, 2 do
    redis.call('HMGET', TASK .. due[i], 'state', 'type', 'priority', 'expires_at', 'retention_ms')
    add_ready(due[i], due[i + 1])
    left[#left + 1] = due[i]
  end
  redis.call('ZREM', DUE, unpack(left))
  return #left
end

-- now, count, token, worker
local function claim(_, words)
  local entries, leases, reply = redis.call('XRANGE', READY, '-', '+', 'COUNT', words[2]), {}, {}
  for _, entry in ipairs(entries) do
    leases[#leases + 1] = words[1]
    leases[#leases + 1] = entry[2][2]
  end
  redis.call('ZADD', RUNNING, unpack(leases))
  for i, entry in ipairs(entries) do
    local id = entry[2][2]
    local found = redis.call('HMGET', TASK .. id, 'state', 'entry', 'type', 'payload', 'attempt', 'max_attempts',
      'timeout_ms', 'expires_at', 'due_at', 'headers', 'traceparent', 'content_type', 'retention_ms')
    redis.call('HSET', TASK .. id, 'state', 'running', 'attempt', '1', 'token', words[3], 'started_at', words[1],
      'worker', words[4])
    reply[i] = {id, found[3], found[4]}
  end
  redis.call('XTRIM', READY, 'MINID', entries[#entries][1])
  redis.call('XDEL', READY, entries[#entries][1])
  return reply
end

-- now, id...
local function settle(_, words)
  local ends = {}
  for i = 2, #words do
    ends[#ends + 1] = words[1]
    ends[#ends + 1] = words[i]
  end
  redis.call('ZADD', FINISHED, unpack(ends))
  for i = 2, #words do
    redis.call('HMGET', TASK .. words[i], 'state', 'token', 'retention_ms', 'keep')
    redis.call('HSET', TASK .. words[i], 'state', 'completed', 'finished_at', words[1])
    redis.call('HDEL', TASK .. words[i], 'payload', 'headers', 'entry', 'worker', 'unhandled')
  end
  redis.call('ZREM', RUNNING, unpack(words, 2))
  return #words - 1
end

-- now, limit
local function sweep(_, words)
  local ids, keys = redis.call('ZRANGE', FINISHED, '-inf', words[1], 'BYSCORE', 'LIMIT', 0, words[2]), {}
  for i, id in ipairs(ids) do
    redis.call('HGET', TASK .. id, 'state')
    keys[i] = TASK .. id
  end
  redis.call('UNLINK', unpack(keys))
  redis.call('ZREM', FINISHED, unpack(ids))
  return #ids
end

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

local function nothing() return 1 end

redis.register_function('floor_enqueue', enqueue)
redis.register_function('floor_enqueue_ready', enqueue_ready)
redis.register_function('floor_promote', promote)
redis.register_function('floor_claim', claim)
redis.register_function('floor_settle', settle)
redis.register_function('floor_sweep', sweep)
redis.register_function('floor_fill', fill)
redis.register_function('floor_nothing', nothing)

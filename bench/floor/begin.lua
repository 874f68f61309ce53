#!lua name=benchfloorbegin

-- floor, first half: the commands of a task's life with nothing checked and nothing promised: what the parts cost alone.
-- The keys are redsched's; every call takes and answers what the verb of the same name does.

local TASK, DUE, READY = '{rs}:task:bench:', '{rs}:due:bench', '{rs}:ready:bench'

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

local function nothing() return 1 end

redis.register_function('floor_enqueue', enqueue)
redis.register_function('floor_enqueue_ready', enqueue_ready)
redis.register_function('floor_promote', promote)
redis.register_function('floor_nothing', nothing)

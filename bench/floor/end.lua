#!lua name=benchfloorend

-- floor, second half: from the claim to the removal.

local TASK, READY = '{rs}:task:bench:', '{rs}:ready:bench'
local RUNNING, FINISHED = '{rs}:running:bench', '{rs}:finished:bench'

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

redis.register_function('floor_claim', claim)
redis.register_function('floor_settle', settle)
redis.register_function('floor_sweep', sweep)

-- sweep: remove finished and dead tasks whose retention has ended, the oldest beyond the caps, and consumers that are gone.
--
-- KEYS   due...         zset  {namespace}:due:<queue>, 1..16 queues
-- ARGV   now            int   0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   limit          int   1..500, most ids looked at in each set; bounds how long Redis is held
-- ARGV   most_finished  int   finished tasks kept in a queue
-- ARGV   most_dead      int   dead tasks kept in a queue
-- REPLY  {removed, more}      tasks removed; 1 where there may be more to remove
-- FLAGS  allow-oom
-- USES   clock, keys, read, drain, ready, ended, finish

local queues, limit = open_all(KEYS), math.min(tonumber(ARGV[2]), 500)
local now, most_finished, most_dead = clock(queues[1].prefix, ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[4])
local removed, more = 0, 0
drain(queues[1])

local function sweep_set(q, set, most, is_final)
  local ids = redis.call('ZRANGE', set, '-inf', now, 'BYSCORE', 'LIMIT', 0, limit)
  local extra = math.min(redis.call('ZCARD', set) - most, limit)
  if extra > #ids then ids = redis.call('ZRANGE', set, 0, extra - 1) end
  if #ids == 0 then return end
  local due = redis.call('ZMSCORE', q.due, unpack(ids))
  local gone, leaving, n = {}, {}, 0
  for i, id in ipairs(ids) do
    local found = is_id(id) and read(q.task .. id, 'state', 'bound')
    local over = found and is_final(found[1])
    if over and due[i] then                                   -- somebody put it there: promote tells of it, then it goes
      redis.call('ZADD', set, 'XX', now + KEEP_FINISHED, id)
    else
      leaving[#leaving + 1] = id
      if over then                                            -- one that is live again only leaves the set
        forget(q, id, now, found[1], found[2], gone)
        n = n + 1
      end
    end
  end
  if #leaving == 0 then return end
  if #ids >= limit then more = 1 end
  if #gone > 0 then redis.call('UNLINK', unpack(gone)) end
  redis.call('ZREM', set, unpack(leaving))
  removed = removed + n
end

local function sweep_consumers(q)
  for _, priority in ipairs(PRIORITIES) do
    local stream = stream_of(q, priority)
    local consumers = redis.pcall('XINFO', 'CONSUMERS', stream, 'workers')
    for _, told in ipairs(consumers.err and {} or consumers) do
      local consumer = {}
      for i = 1, #told, 2 do consumer[told[i]] = told[i + 1] end
      if consumer.pending == 0 and consumer.idle > 3600000 then
        redis.call('XGROUP', 'DELCONSUMER', stream, 'workers', consumer.name)
      end
    end
  end
end

for _, q in ipairs(queues) do
  sweep_set(q, q.finished, most_finished, function(state) return FINISHED[state] end)
  sweep_set(q, q.dead, most_dead, function(state) return state == 'dead' end)
  sweep_consumers(q)
end
return {removed, more}

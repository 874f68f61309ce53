-- promote: make due tasks ready, oldest first; also re-adds entries that a dead reader held for over a second.
--
-- KEYS   due...   zset    {namespace}:due:<queue>, 1..16 queues
-- ARGV   now      int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   limit    int     1..500, most ids moved by one call, shared by the queues (25 more of a queue whose oldest are all
--                         bad, from its latest); bounds how long Redis is held
-- ARGV   mover    string  who is calling; the first to say so acts for a second, the others stand by
-- REPLY  {now, acting, moved, next_due, next_lease, ...}  ms; 1 or 0; then three numbers per queue: ids that left due,
--                         earliest due time left and earliest end of a lease (ms; -1: none)
-- FLAGS  allow-oom
-- USES   clock, keys, read, stats, drain, finish, judge

local MOST_WORK = 250                                   -- of one look; a task with conditions counts as four
local LATEST = 25                                       -- ids looked at from the other end where the oldest are all bad
local queues, limit, mover = open_all(KEYS), math.min(tonumber(ARGV[2]), 500), ARGV[3]
local prefix = queues[1].prefix
local now = clock(prefix, ARGV[1])
drain(queues[1])

local acting = redis.call('GET', prefix .. 'mover')
if not acting or acting == mover then redis.call('SET', prefix .. 'mover', mover, 'PX', 1000) end
local reply = {now, (not acting or acting == mover) and 1 or 0}

local function without(ids, some)
  local found = {}
  for _, id in ipairs(ids) do
    if not some[id] then found[#found + 1] = id end
  end
  return found
end

for _, q in ipairs(queues) do
  local left, ready, seen = {}, 0, {}
  local function look(due)
    local before = q.planned
    for i = 1, #due, 2 do
      if 4 * (q.planned - before) >= MOST_WORK then break end
      local leaves, is_ready = false, false
      if q.released then q.released[due[i]] = nil end   -- from now on it counts again
      if not seen[due[i]] then leaves, is_ready = judge(q, due[i], due[i + 1], now) end
      if leaves then left[#left + 1] = due[i] end
      if is_ready then ready = ready + 1 end
      seen[due[i]] = true
    end
    limit = limit - #due / 2
  end
  local ok, problem = pcall(function()
    for _, range in ipairs({{'-inf', now}, {'(4000000000000', '+inf'}}) do
      if limit > 0 then
        look(redis.call('ZRANGE', q.due, range[1], range[2], 'BYSCORE', 'LIMIT', 0, limit, 'WITHSCORES'))
      end
    end
    if limit <= 0 and ready == 0 and next(seen) then        -- bad ones only: a good one may wait behind many of them
      look(redis.call('ZRANGE', q.due, now, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, LATEST, 'WITHSCORES'))
    end
  end)
  if q.released then left = without(left, q.released) end
  if #left > 0 then redis.call('ZREM', q.due, unpack(left)) end   -- after the rest: a stop half-way repeats, it never loses
  count(q, now, 'promoted', ready)
  tell_aside(q, now)
  if not ok then error(problem) end
  recover_pending(q)
  reply[#reply + 1] = #left
  reply[#reply + 1] = earliest(q.due)
  reply[#reply + 1] = earliest(q.running)
end
return reply

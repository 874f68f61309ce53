-- promote: make due tasks ready, oldest first; also re-adds entries that a dead reader held for over a second.
--
-- KEYS   due...   zset    {namespace}:due:<queue>, 1..16 queues
-- ARGV   now      int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   limit    int     1..500, most ids looked at by one call, shared by the queues (25 more of a queue whose oldest are all
--                         bad, from its latest), one with conditions counts as eight; a call ends sooner where they take long
-- ARGV   mover    string  who is calling; the first to say so acts for a second, the others stand by; a newer build takes it over
-- REPLY  {now, acting, moved, next_due, next_lease, ...}  ms; 1 or 0; then three numbers per queue: ids that left due,
--                         earliest due time left and earliest end of a lease (ms; -1: none)
-- FLAGS  allow-oom
-- USES   budget, clock, keys, safe, stats, memory, endings, promote, lost_entries

local LATEST = 25                                       -- ids looked at from the other end if the oldest are all bad
local queues, limit, mover = keys.open_all(KEYS), math.min(tonumber(ARGV[2]), 500), ARGV[3]
local prefix = queues[1].prefix
local now = clock.now(prefix, ARGV[1])
memory.drain(queues[1])

local own, acts = mover .. ' ' .. clock.text(BUILD), true
local told = safe.call('GET', prefix .. 'mover')
if told and told ~= own then
  local acting, build = string.match(told, '^(%S+) ?(%d*)$')
  acts = not acting or acting == mover or (tonumber(build) or 0) < BUILD
end
if acts then redis.call('SET', prefix .. 'mover', own, 'PX', '1000') end   -- it replaces a key of any type
local reply = {now, acts and 1 or 0}

local hungry = {}
for i, q in ipairs(budget.in_turn(queues, now)) do
  q.seen, q.looked, q.ready_now, q.moved, q.left, q.trouble, q.cut = {}, false, 0, 0, 0, nil, false
  local part = math.ceil(limit / (#queues - i + 1))     -- a queue with many due ids does not keep the others waiting
  local work = budget.share(#queues - i + 1) and 0 or promote.judge_oldest(q, part, now)
  limit = limit - work
  if work >= part or work > 0 and budget.is_spent() then hungry[#hungry + 1] = q end
end
for i, q in ipairs(hungry) do
  if not budget.share(#hungry - i + 1) and limit > 0 then limit = limit - promote.judge_oldest(q, limit, now) end
  if limit <= 0 and q.ready_now == 0 and q.looked then   -- only bad ids so far: a good one may wait behind many of them
    local latest = redis.call('ZRANGE', q.due, now, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, LATEST, 'WITHSCORES')
    promote.judge_page(q, latest, LATEST, now)
  end
end
local trouble = nil
for _, q in ipairs(queues) do
  stats.count(q, now, 'promoted', q.ready_now)
  endings.tell_quarantined(q, now)
  trouble = trouble or q.trouble
  lost_entries.add_again(q, now)
  reply[#reply + 1] = q.moved
  reply[#reply + 1] = promote.next_due(q, now)
  reply[#reply + 1] = safe.earliest(q.running)
end
if trouble then error(trouble, 0) end
return reply

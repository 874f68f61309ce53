-- ingest: make tasks of what producers appended to the inboxes, oldest first, as enqueue would. An entry of an inbox has
-- the fields of a task, its id, and due (ms since the epoch, 0 or +ms; now where it is missing).
--
-- KEYS   due...  zset  {namespace}:due:<queue>, 1..16 queues
-- ARGV   now     int   0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   limit   int   1..500, most entries taken by one call, shared by the queues; fewer where they take long
-- REPLY  {now, created, refused, left, ...}  three numbers per queue: tasks made; entries whose id went into the
--                      quarantine, for a field that cannot be used or an id of another task; entries left
-- FLAGS  allow-oom
-- USES   budget, clock, keys, safe, stats, memory, endings, inbox

local queues, limit = keys.open_all(KEYS), math.min(tonumber(ARGV[2]), 500)
local now = clock.now(queues[1].prefix, ARGV[1])
memory.drain(queues[1])

local reply, numbers = {now}, {}
for number, q in ipairs(queues) do
  numbers[q], q.created, q.refused, q.taken, q.is_skipped = number, 0, 0, 0, false
end
for turn, q in ipairs(budget.in_turn(queues, now)) do
  q.is_skipped = budget.share(#queues - turn + 1) or limit <= 0
  if not q.is_skipped then limit = limit - inbox.take(q, queues, numbers[q], limit, now) end
  stats.count_created(q, now, q.created)
  endings.tell_quarantined(q, now)
end
for _, q in ipairs(queues) do
  local left = (q.taken > 0 or q.is_skipped) and safe.call('XLEN', q.inbox) or 0
  reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = q.created, q.refused, left
end
return reply

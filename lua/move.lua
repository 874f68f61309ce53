-- move: take tasks that wait, or are dead, to another queue; they keep their ids and due times. The old queue keeps a note of
-- each under its id, skipped with the reason moved to <queue>: so enqueue there goes on to answer existing. It stays until the
-- task's retention has passed after its due time (of a dead task: as long as that is kept), a minute at least, a year at most.
--
-- KEYS   due     zset    {namespace}:due:<queue>, of the queue that they are in
-- KEYS   other   zset    the same of another queue
-- ARGV   now     int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   id...   string  1..1000 ids
-- REPLY  {word...}       moved (or was already) | existing (the other queue has the id; a note of a task gives way) | linked (it
--                        has conditions, others come after it, or it is a schedule's run) | running | finished (or moved to a
--                        third queue) | missing, in order: nothing was written for the last five
-- FLAGS  none
-- USES   clock, keys, stats, sweep, moving

local q, other = keys.open(KEYS[1]), KEYS[2]
local now, answers, moved, to = clock.now(q.prefix, ARGV[1]), {}, 0, other and keys.open(other)
if not to or to.due == q.due or to.prefix ~= q.prefix then
  return redis.error_reply('RS_INVALID 1 queue must be another one of the same namespace')
end

for i = 2, #ARGV do
  answers[i - 1] = moving.task(q, to, ARGV[i], now)
  if answers[i - 1] == 'moved' then moved = moved + 1 end
end
if moved > 0 then
  stats.add_queue(to)
  sweep.soon(q, now)
  sweep.soon(to, now)
end
return answers

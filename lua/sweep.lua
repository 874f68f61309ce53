-- sweep: remove finished and dead tasks whose retention has ended, the oldest beyond a queue's caps (see limit), and consumers
-- that are gone. What goes by a cap is counted and told of; a finished id stays for ten minutes at least. Then note when each
-- queue has something to remove again, and forget those that are empty for a day.
--
-- KEYS   due...  zset  {namespace}:due:<queue>, 1..16 queues
-- ARGV   now     int   0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   limit   int   1..500, most ids looked at in each set; a call ends sooner where they take long
-- ARGV   forgotten  int  may be missing: 1000000; how many ids of a namespace that were removed are known for a day; 0: none
-- REPLY  {removed, more}  tasks removed; 1 where there may be more to remove
-- FLAGS  allow-oom
-- USES   budget, clock, keys, check, hash, memory, streams, sweep, forgotten, removal

local queues, limit, most = keys.open_all(KEYS), math.min(tonumber(ARGV[2]), 500), check.whole(ARGV[3] or '1000000', 0, 1e9)
local now = clock.now(queues[1].prefix, ARGV[1])
local removed, more, DEAD = 0, 0, {dead = true}
memory.drain(queues[1])

for i, q in ipairs(budget.in_turn(queues, now)) do
  if budget.share(#queues - i + 1) then
    more = 1
    break
  end
  q.indexed = nil                                       -- a library keeps its queues between calls
  local finished, is_over = removal.sweep_set(q, 'finished', hash.FINISHED, limit, now, most or 0)
  local dead, are_over = removal.sweep_set(q, 'dead', DEAD, limit, now, most or 0)
  removed = removed + finished + dead
  -- as long as there is more, only tasks are removed: another call follows at once
  if is_over and are_over then sweep.plan(q, now, streams.drop_idle_consumers(q)) else more = 1 end
end
forgotten.trim(queues[1], now, most or 0)
return {removed, more}

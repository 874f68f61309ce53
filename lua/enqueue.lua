-- enqueue: create 1..1000 tasks, each at most once; those that are due already are made ready at once.
--
-- KEYS   due...   zset    {namespace}:due:<queue>, one per queue
-- ARGV   now      int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   task...  words   for each task: number of its queue in KEYS (from 1), id, due, number of fields n,
--                         then n times field, value. due: ms since the epoch, 0 (now) or +ms (from now).
--                         expires_at may be +ms too. Fields: lua/README.md. More than one have
--                         at most 2 MiB of payloads and 64 KiB of different conditions with 2000 facts together
-- REPLY  {status...}      created | existing (same type and payload) | conflict (another task has the id) | merged <id> (it is
--                         part of that digest) | rejected <id> (that one holds what has to be unique) | refused <id> (it comes
--                         after that one or before it, directly or not, and that one is in conflict), in order;
--                         error RS_INVALID <task, from 1> <field> <why> before anything is written
-- FLAGS  none
-- USES   clock, keys, stats, submission, enqueue, plain_tasks

local queues, now = keys.open_all(KEYS), nil
now = clock.now(queues[1].prefix, ARGV[1])
local plain = plain_tasks.enqueue(ARGV, queues, now)
if plain then return plain end

local tasks, n, at, known, refs = {}, 0, 2, {}, {n = 0}
local sums = {tasks = 0, bytes = 0, plans = 0, facts = 0, seen = {}}
local total = #ARGV                                     -- # counts a table anew each time
while at <= total do
  local task, field, why = submission.parse(ARGV, at, queues, now)
  n = n + 1
  if not task then return redis.error_reply('RS_INVALID ' .. n .. ' ' .. field .. ' ' .. why) end
  tasks[n] = task
  if task.plan then
    why = submission.conditions_problem(task, known, refs)
    if why then return redis.error_reply('RS_INVALID ' .. n .. ' conditions ' .. why) end
  end
  known[task.hash] = known[task.hash] or n
  if n > 1000 then return redis.error_reply('RS_INVALID 1001 tasks more than 1000 in one call') end
  local heavy = submission.too_heavy(task, sums)
  if heavy then return redis.error_reply('RS_INVALID ' .. n .. ' ' .. heavy) end
  at = task.after
end

local created, lost, stamp, fresh = {}, {}, clock.text(now), submission.all_fresh(tasks, known)
local answers = refs.together and not fresh and submission.refused_together(tasks) or {}
local placed = fresh and n > 1
if placed then enqueue.put_in_due(tasks, now) end
for i, task in ipairs(tasks) do
  local q = task.q
  answers[i] = answers[i] or not fresh and submission.known_as(task) or nil
  if not answers[i] then
    answers[i] = enqueue.create(task, now, stamp, placed, lost)
    if string.byte(answers[i]) == 114 then lost[task.hash] = 'rejected' else created[q] = (created[q] or 0) + 1 end
  elseif answers[i] == 'repeated' then
    answers[i] = enqueue.repeat_planned(task, now, lost)
  end
end
for q, n in pairs(created) do stats.count_created(q, now, n) end
return answers

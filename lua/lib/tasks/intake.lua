-- intake: the long way of enqueue, for tasks with conditions or options: all are checked, then each is created.
--
-- USES  clock, stats, submission, enqueue

-- The answers, or an error reply; words: what enqueue takes as ARGV.
function intake.create(words, queues, now)
  local tasks, n, at, known, refs = {}, 0, 2, {}, {n = 0}
  local sums = {tasks = 0, bytes = 0, plans = 0, facts = 0, seen = {}}
  local total = #words                                     -- # counts a table anew each time
  while at <= total do
    local task, field, why = submission.parse(words, at, queues, now)
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
end

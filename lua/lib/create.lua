-- create: write a new task, whether it has conditions or not.

local MOST_PARENTS = 1000                               -- named by the tasks of one call
local MOST_TOGETHER, MOST_PLANS = 2097152, 65536        -- bytes of the payloads, and of the different conditions, of one call
local SHORT_PLAN = 128                                  -- bytes that count for nothing
local MOST_LISTENING = 2000                             -- facts that the tasks of one call wait for or are cancelled by

-- Why the plan of a task cannot be carried out; known: hash of a task that the same call makes before it -> its number. Those
-- that it comes after are noted in its field named.
local function trouble_of(task, known, refs)
  local plan = task.plan
  if not refs.asked then redis.call('EXISTS', task.q.prefix .. 'agenda') end   -- refused without the rights, before any write
  refs.asked = true
  if plan.fifo and not is_key(task.key) then return 'hold fifo, which needs a key' end
  for _, ref in ipairs(plan.after and plan.after.ids or {}) do
    local home, id = ref_of(task.q, ref)
    if refs.n >= MOST_PARENTS then return 'name more than 1000 tasks in one call' end
    if home.prefix ~= task.q.prefix then return 'name a task of another namespace' end
    if home.task .. id == task.hash then return 'name the task itself' end
    if not known[home.task .. id] and redis.call('EXISTS', home.task .. id) == 0 then return 'name a task that is not there' end
    if known[home.task .. id] then
      refs.together, task.named = true, task.named or {}
      task.named[#task.named + 1] = known[home.task .. id]
    end
    refs.n = refs.n + 1
  end
end

-- The field, and why, with which a task makes its call too much; nil where it does not. The tasks of a call are made all or
-- none, so who sends them has to send fewer at once. sums: of those before it.
local function too_heavy(task, sums)
  local plan = task.conditions
  sums.tasks, sums.bytes = sums.tasks + 1, sums.bytes + #task.payload
  if plan and not sums.seen[plan] then sums.seen[plan], sums.plans = true, sums.plans + math.max(0, #plan - SHORT_PLAN) end
  if task.plan then sums.facts = sums.facts + #facts_of(task.plan) end
  if sums.tasks == 1 then return nil end
  if sums.bytes > MOST_TOGETHER then return 'payload comes to more than 2 MiB with the others of the call' end
  if sums.facts > MOST_LISTENING then return 'conditions name more than 2000 facts with the others of the call' end
  if sums.plans > MOST_PLANS then return 'conditions come to more than 64 KiB with the others of the call' end
end

-- Put into due those that are not due yet, with one call a queue.
local function put_in_due(tasks, now)
  local scores = {}
  for _, task in ipairs(tasks) do
    if task.due > now and not task.plan then
      local list = scores[task.q] or {}
      scores[task.q] = list
      list[#list + 1] = task.score
      list[#list + 1] = task.id
    end
  end
  for q, list in pairs(scores) do redis.call('ZADD', q.due, unpack(list)) end
end

-- Enter a task that is written and due, and put it where its conditions say. lost: as in follow.
local function settle_in(task, due, now, lost)
  local q, id, plan = task.q, task.id, task.plan
  tie(q, id, plan, task.key, lost or {})
  local f = read_planned(q, id)
  bind(task.hash, 'p', f.bound)                         -- last: who stops before it enters it when it is due
  local word, more = blocked_by(q, id, plan, f, now)
  local leaves = true
  if word then
    if not FINISHED[word] and task.delay then redis.call('HSET', task.hash, 'delay_ms', text(task.delay)) end
    halt(q, id, word, more, f, text(due), now)
  else
    leaves = due <= now and not is_over() and judge(q, id, text(due), now)   -- else promote does that
  end
  if leaves then redis.call('ZREM', q.due, id) end
end

-- What enqueue says of one that is there.
local function answer_of(task, plan)
  local opener = plan and plan.digest and DIGESTS.opener_of(task.q, task.id)
  return opener and 'merged ' .. opener or 'created'
end

-- Its place first: a call that stops half-way leaves a due task, which promote judges.
local function create_planned(task, words, now, stamp, lost)
  local q, id, plan, due, holder = task.q, task.id, task.plan, math.max(task.due, now), nil
  if plan.digest then due = now end
  if plan.unique then
    due, holder = make_unique(q, id, plan.unique, due, now, task.request)
    if not due then return 'rejected ' .. holder end
  end
  redis.call('ZADD', q.due, text(due), id)
  redis.call('HSET', task.hash, 'created_at', stamp, 'submitted', fingerprint(task.payload), 'bound', 't',
    unpack(words, task.first, task.last))
  settle_in(task, due, now, lost)
  return answer_of(task, plan)
end

-- A call that is repeated because it stopped half-way may find a task that is entered nowhere yet.
local function settle_again(task, now, lost)
  local f = task.plan and read_planned(task.q, task.id)
  local due = f and f.state == 'scheduled' and tonumber(redis.call('ZSCORE', task.q.due, task.id) or '')
  task.plan, task.key = f and f.conditions and plan_of(f.conditions), f and f.key
  if due and task.plan then settle_in(task, due, now, lost) end
  return answer_of(task, task.plan)
end

-- One whose conditions only a newer redsched knows: promote leaves it to that.
local function create_for_newer(task, words, conditions, now)
  redis.call('ZADD', task.q.due, text(math.max(task.due, now)), task.id)
  redis.call('HSET', task.hash, 'created_at', text(now), 'submitted', fingerprint(task.payload), 'conditions', conditions,
    unpack(words, task.first, task.last))
  return 'created'
end

-- lost: what became of those that this call did not make.
local function create(task, words, now, stamp, placed, lost)
  if task.plan then return create_planned(task, words, now, stamp, lost) end
  write_task(task, words, now, stamp, placed)
  return 'created'
end

-- enqueue: write a new task, with conditions or without.
--
-- USES  budget, clock, hash, streams, endings, fields, index, promote, conditions, links, digests, blocked, locks, decide

local function write_plain(task, now, stamp, placed)
  local q, key, submitted = task.q, task.hash, fields.fingerprint(task.payload)
  if task.due > now then
    if not placed then redis.call('ZADD', q.due, task.score, task.id) end
    redis.call('HSET', key, 'created_at', stamp, 'submitted', submitted, unpack(task.words, task.first, task.last))
  elseif task.expires_at and tonumber(task.expires_at) <= now then
    redis.call('HSET', key, 'created_at', stamp, 'submitted', submitted, 'due_at', stamp,
      unpack(task.words, task.first, task.last))
    endings.expire(q, task.id, now, task.retention_ms)
  else
    local entry = streams.add(q, task.id, task.priority or 'normal')
    redis.call('HSET', key, 'created_at', stamp, 'submitted', submitted, 'state', 'ready', 'entry', entry, 'due_at', stamp,
      unpack(task.words, task.first, task.last))
  end
end

-- Put those tasks into due that are not due yet, with one call of ZADD a queue.
function enqueue.put_in_due(tasks, now)
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

-- Enter a task that is written and in due, and put it where its conditions say. lost: see links.follow.
local function enter_and_decide(task, due, now, lost)
  local q, id, plan = task.q, task.id, task.plan
  links.enter(q, id, plan, task.key, lost or {})
  local f = blocked.read(q, id)
  -- last: a call that stops before it leaves a task that is entered when due
  links.mark(task.hash, 'p', f.bound)
  local word, more = blocked.by(q, id, plan, f, now)
  local leaves = true
  if word then
    if not hash.FINISHED[word] and task.delay then redis.call('HSET', task.hash, 'delay_ms', clock.text(task.delay)) end
    decide.halt(q, id, word, more, f, clock.text(due), now)
  else
    -- if not, promote does that later
    leaves = due <= now and not budget.is_spent() and promote.judge(q, id, clock.text(due), now)
  end
  if leaves then redis.call('ZREM', q.due, id) end
end

-- What enqueue answers for a task that exists.
local function answer_of(task, plan)
  local opener = plan and plan.digest and digests.opener_of(task.q, task.id)
  return opener and 'merged ' .. opener or 'created'
end

-- Write a task with conditions. Its place comes first: a call that stops half-way leaves a due task, which promote judges.
local function create_with_conditions(task, now, stamp, lost)
  local q, id, plan, due, holder = task.q, task.id, task.plan, math.max(task.due, now), nil
  if plan.digest then due = now end
  if plan.unique then
    due, holder = locks.take(q, id, plan.unique, due, now, task.request)
    if not due then return 'rejected ' .. holder end
  end
  index.add(q, id, task.tags, task.key)
  redis.call('ZADD', q.due, clock.text(due), id)
  redis.call('HSET', task.hash, 'created_at', stamp, 'submitted', fields.fingerprint(task.payload), 'bound', 't',
    unpack(task.words, task.first, task.last))
  enter_and_decide(task, due, now, lost)
  return answer_of(task, plan)
end

-- Go on with a task of an earlier call that stopped half-way: it may not be entered anywhere yet.
function enqueue.repeat_planned(task, now, lost)
  local f = task.plan and blocked.read(task.q, task.id)
  local due = f and f.state == 'scheduled' and tonumber(redis.call('ZSCORE', task.q.due, task.id) or '')
  task.plan, task.key = f and f.conditions and conditions.of(f.conditions), f and f.key
  if due and task.plan then enter_and_decide(task, due, now, lost) end
  return answer_of(task, task.plan)
end

-- Write a task whose conditions only a newer redsched knows. promote leaves it to a newer one.
function enqueue.create_for_newer(task, asked, now)
  index.add(task.q, task.id, task.tags, task.key)
  redis.call('ZADD', task.q.due, clock.text(math.max(task.due, now)), task.id)
  redis.call('HSET', task.hash, 'created_at', clock.text(now), 'submitted', fields.fingerprint(task.payload),
    'conditions', asked,
    unpack(task.words, task.first, task.last))
  return 'created'
end

-- lost: what became of the tasks that this call did not make.
function enqueue.create(task, now, stamp, placed, lost)
  if task.plan then return create_with_conditions(task, now, stamp, lost) end
  index.add(task.q, task.id, task.tags, task.key)
  write_plain(task, now, stamp, placed)
  return 'created'
end

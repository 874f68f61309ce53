-- submission: what a call of enqueue asks for: its words read and checked, what has the same ids already, and which of its
-- tasks have to be refused together.
--
-- USES  clock, keys, hash, fields, type_defaults, schema, conditions

-- Whether a task would be due only after its start-by, and so expire for certain. What is due now may come late, and a digest
-- has its own time. A task that exists is answered as before.
local function expires_first(task, start_by, now)
  local due = task.counted and math.max(task.due, now) or task.due
  if start_by > due or not task.counted and task.delay and due <= now or task.plan and task.plan.digest then return false end
  return not submission.known_as(task)
end

-- Read the words of one task. Answers the task, with what its type gives it, or nil, the field and why it cannot be used. The
-- task's fields are its words from first to last, a relative expires_at made absolute; after: where the next task of the call is.
function submission.parse(words, at, queues, now)
  local task = {q = queues[tonumber(words[at]) or 0], id = words[at + 1], words = words, first = at + 4, last = 0, after = 0,
    hash = false, due = false, score = words[at + 2], type = false, payload = false}   -- with room for what comes
  local pairs_given = tonumber(words[at + 3] or '') or 0
  if not task.q then return nil, 'queue', 'is no number of a key' end
  if not keys.is_id(task.id) then return nil, 'id', 'must be 1 to 128 of [A-Za-z0-9._@+:-] and begin with a letter or digit' end
  task.hash = task.q.task .. task.id
  task.due = fields.due_time(words[at + 2], now)
  if not task.due then return nil, 'due', 'must be ms since the epoch, 0 or +ms' end
  if string.byte(task.score) == 43 then                 -- it began with +
    task.delay, task.score = task.due - now, clock.text(task.due)
  end
  task.last = task.first + 2 * pairs_given - 1
  task.after = task.last + 1
  if pairs_given < 2 or pairs_given > 32 or not words[task.last] then return nil, 'fields', 'are not as many as said' end
  for i = task.first, task.last, 2 do
    local field = words[i]
    local value, why = fields.usable(field, words[i + 1], now)
    if not value then return nil, fields.LONGEST[field] and field or 'fields', why end
    task[field] = value
    if value ~= words[i + 1] then                       -- a start-by that counts from now, if it began with +
      task.counted, words[i + 1] = string.byte(words[i + 1]) == 43, value
    end
  end
  if not task.type then return nil, 'type', 'is required' end
  if not task.payload then return nil, 'payload', 'is required' end
  local start_by = task.expires_at and tonumber(task.expires_at)   -- its own: what a type gives counts from the due time
  type_defaults.fill(task, now)
  task.plan = task.conditions and conditions.of(task.conditions)
  if start_by and expires_first(task, start_by, now) then
    return nil, 'expires_at', 'must reach beyond the due time: the task is due after it expires'
  end
  return task
end

-- What already has the id: nil, 'repeated' (the same request), 'existing' or 'conflict'. A completed task that plain
-- commands wrote has no payload any more, and then the payload is not compared.
function submission.known_as(task)
  local found = redis.pcall('HMGET', task.hash, 'type', 'payload', 'state', 'request', 'submitted')
  if found.err then
    if string.find(tostring(found.err), 'WRONGTYPE', 1, true) then return 'conflict' end
    error(found)
  end
  if not (found[1] or found[2] or found[3]) then return nil end
  if not found[3] and not redis.call('ZSCORE', task.q.due, task.id) then return nil end   -- a hash that no index knows
  if task.request and found[4] == task.request then return 'repeated' end
  if found[1] ~= task.type then return 'conflict' end
  if found[5] and found[5] ~= '' then return found[5] == fields.fingerprint(task.payload) and 'existing' or 'conflict' end
  return (found[2] == task.payload or not found[2]) and 'existing' or 'conflict'
end

-- Whether no id is given twice and no task exists yet; then no task has to be looked up by itself. first: key of a task ->
-- the number of the first task that has it.
function submission.all_fresh(tasks, first)
  if #tasks == 1 then return redis.call('EXISTS', tasks[1].hash) == 0 end
  local hashes = {}
  for i, task in ipairs(tasks) do
    if first[task.hash] ~= i then return false end
    hashes[i] = task.hash
  end
  return #hashes > 0 and redis.call('EXISTS', unpack(hashes)) == 0
end

-- Tasks that come after one another are a family. Answers for each task the number of the task that stands for its family.
local function families_of(tasks)
  local up = {}
  local function first(i)
    while up[i] ~= i do i = up[i] end
    return i
  end
  for i, task in ipairs(tasks) do
    up[i] = i
    for _, earlier in ipairs(task.named or {}) do up[first(i)] = first(earlier) end
  end
  for i in ipairs(tasks) do up[i] = first(i) end
  return up
end

-- The tasks of a family are made together or not at all. Answers for the tasks in conflict, and for the others of their
-- families that do not exist yet.
function submission.refused_together(tasks)
  local family, known, conflict, answers = families_of(tasks), {}, {}, {}
  for i, task in ipairs(tasks) do
    known[i] = submission.known_as(task) or 'new'
    if known[i] == 'conflict' then conflict[family[i]] = conflict[family[i]] or task.id end
  end
  for i in ipairs(tasks) do
    local other = conflict[family[i]]
    if other and known[i] ~= 'existing' and known[i] ~= 'repeated' then
      answers[i] = known[i] == 'conflict' and 'conflict' or 'refused ' .. other
    end
  end
  return answers
end
local MOST_PARENTS = 1000                               -- named by the tasks of one call
-- bytes of the payloads, and of the different conditions, of one call
submission.MOST_TOGETHER = 2097152
local MOST_PLANS = 65536
local SHORT_PLAN = 128                                  -- bytes of conditions that do not count
local MOST_LISTENING = 2000                             -- facts that the tasks of one call wait for or are cancelled by

-- Why the conditions of a task cannot be carried out; nil if they can. known: key of a task that the same call makes earlier
-- -> its number. Those of them that the task comes after are noted in its field named.
function submission.conditions_problem(task, known, refs)
  local plan = task.plan
  -- a caller without the rights is refused here, before any write
  if not refs.asked then redis.call('EXISTS', task.q.prefix .. 'agenda') end
  refs.asked = true
  if plan.fifo and not schema.is_key(task.key) then return 'hold fifo, which needs a key' end
  for _, ref in ipairs(plan.after and plan.after.ids or {}) do
    local home, id = conditions.resolve(task.q, ref)
    if refs.n >= MOST_PARENTS then return 'name more than 1000 tasks in one call' end
    if home.prefix ~= task.q.prefix then return 'name a task of another namespace' end
    if home.task .. id == task.hash then return 'name the task itself' end
    if not known[home.task .. id] and redis.call('EXISTS', home.task .. id) == 0 then return 'name a task that is not there' end
    if hash.is_note(home.task .. id) then return 'name a task that was moved to another queue; name it there' end
    if known[home.task .. id] then
      refs.together, task.named = true, task.named or {}
      task.named[#task.named + 1] = known[home.task .. id]
    end
    refs.n = refs.n + 1
  end
end

-- The field by which a task makes its call too large, and why; nil if it does not. The tasks of a call are made all or none,
-- so the caller has to send fewer at once. sums: of the tasks before it.
function submission.too_heavy(task, sums)
  local plan = task.conditions
  sums.tasks, sums.bytes = sums.tasks + 1, sums.bytes + #task.payload
  if plan and not sums.seen[plan] then sums.seen[plan], sums.plans = true, sums.plans + math.max(0, #plan - SHORT_PLAN) end
  if task.plan then sums.facts = sums.facts + #conditions.facts(task.plan) end
  if sums.tasks == 1 then return nil end
  if sums.bytes > submission.MOST_TOGETHER then return 'payload comes to more than 2 MiB with the others of the call' end
  if sums.facts > MOST_LISTENING then return 'conditions name more than 2000 facts with the others of the call' end
  if sums.plans > MOST_PLANS then return 'conditions come to more than 64 KiB with the others of the call' end
end

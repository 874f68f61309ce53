-- submit: the parts of enqueue: read one task's words, find what already has its id, write it.

-- Answers the task, or nil, the field and why it cannot be used. Changes a relative expires_at in words.
local function parse(words, at, queues, now)
  local task = {q = queues[tonumber(words[at]) or 0], id = words[at + 1], first = at + 4, last = 0, hash = false, due = false,
    score = words[at + 2], type = false, payload = false}   -- room for what comes: a table that grows is dear
  local pairs_given = tonumber(words[at + 3] or '') or 0
  if not task.q then return nil, 'queue', 'is no number of a key' end
  if not is_id(task.id) then return nil, 'id', 'must be 1 to 128 of [A-Za-z0-9._@+:-] and begin with a letter or digit' end
  task.hash = task.q.task .. task.id
  task.due = due_time(words[at + 2], now)
  if not task.due then return nil, 'due', 'must be ms since the epoch, 0 or +ms' end
  if string.byte(task.score) == 43 then                 -- it began with +
    task.delay, task.score = task.due - now, text(task.due)
  end
  task.last = task.first + 2 * pairs_given - 1
  if pairs_given < 2 or pairs_given > 32 or not words[task.last] then return nil, 'fields', 'are not as many as said' end
  for i = task.first, task.last, 2 do
    local field = words[i]
    local value, why = usable(field, words[i + 1], now)
    if not value then return nil, TEXT[field] and field or 'fields', why end
    task[field] = value
    if value ~= words[i + 1] then words[i + 1] = value end
  end
  if not task.type then return nil, 'type', 'is required' end
  if not task.payload then return nil, 'payload', 'is required' end
  task.plan = task.conditions and plan_of(task.conditions)
  return task
end

-- What already has the id: nil, 'repeated' (the same request), 'existing' or 'conflict'. Of a task that plain commands wrote
-- nobody knows the payload any more once it has completed.
local function known_as(task)
  local found = redis.pcall('HMGET', task.hash, 'type', 'payload', 'state', 'request', 'submitted')
  if found.err then
    if string.find(tostring(found.err), 'WRONGTYPE', 1, true) then return 'conflict' end
    error(found)
  end
  if not (found[1] or found[2] or found[3]) then return nil end
  if not found[3] and not redis.call('ZSCORE', task.q.due, task.id) then return nil end   -- a hash that no index knows
  if task.request and found[4] == task.request then return 'repeated' end
  if found[1] ~= task.type then return 'conflict' end
  if found[5] and found[5] ~= '' then return found[5] == fingerprint(task.payload) and 'existing' or 'conflict' end
  return (found[2] == task.payload or not found[2]) and 'existing' or 'conflict'
end

-- Whether no id is given twice and none has a key: then nothing has to be read task by task. first: hash of a task -> the number
-- of the first that has it.
local function all_fresh(tasks, first)
  if #tasks == 1 then return redis.call('EXISTS', tasks[1].hash) == 0 end
  local keys = {}
  for i, task in ipairs(tasks) do
    if first[task.hash] ~= i then return false end
    keys[i] = task.hash
  end
  return #keys > 0 and redis.call('EXISTS', unpack(keys)) == 0
end

local function write_task(task, words, now, stamp, placed)
  local q, key, submitted = task.q, task.hash, fingerprint(task.payload)
  if task.due > now then
    if not placed then redis.call('ZADD', q.due, task.score, task.id) end
    redis.call('HSET', key, 'created_at', stamp, 'submitted', submitted, unpack(words, task.first, task.last))
  elseif task.expires_at and tonumber(task.expires_at) <= now then
    redis.call('HSET', key, 'created_at', stamp, 'submitted', submitted, 'due_at', stamp,
      unpack(words, task.first, task.last))
    expire(q, task.id, now, task.retention_ms)
  else
    local entry = add_entry(q, task.id, task.priority or 'normal')
    redis.call('HSET', key, 'created_at', stamp, 'submitted', submitted, 'state', 'ready', 'entry', entry, 'due_at', stamp,
      unpack(words, task.first, task.last))
  end
end

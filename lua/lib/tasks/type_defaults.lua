-- type_defaults: what a type of tasks, and a queue, give to tasks that do not say it themselves. Workers put what types give.
--
-- USES  clock, keys, fields, conditions

type_defaults.GIVEN = {'max_attempts', 'retry', 'timeout_ms', 'expires_at', 'retention_ms', 'key'}
type_defaults.MOST = 5000                               -- types of a namespace
local IS_GIVEN = {max_attempts = true, retry = true, timeout_ms = true, expires_at = true, retention_ms = true, key = true}

function type_defaults.is_given(name) return IS_GIVEN[name] end

-- The defaults that a JSON text holds as field, value, ...; expires_at is +ms, from the due time on. nil if they are none.
function type_defaults.parse(text)
  local ok, found = pcall(cjson.decode, text)
  if not ok or type(found) ~= 'table' or #found == 0 or #found % 2 > 0 or #found > 2 * #type_defaults.GIVEN then return nil end
  for i = 1, #found, 2 do
    local name, value = found[i], found[i + 1]
    if not IS_GIVEN[name] or type(value) ~= 'string' or not fields.usable(name, value, 0) then return nil end
    if name == 'expires_at' and not string.find(value, '^%+%d+$') then return nil end
  end
  return found
end

local of_type, of_queue, together = nil, nil, nil        -- the last texts, and what they give: most calls ask for the same

local function merged()
  local found, seen = {}, {}
  for _, text in ipairs({of_type, of_queue}) do         -- false where there is none: it then holds nothing
    local given = text and type_defaults.parse(text) or {}
    for i = 1, #given, 2 do
      if not seen[given[i]] then found[#found + 1], found[#found + 2] = given[i], given[i + 1] end
      seen[given[i]] = true
    end
  end
  return found[1] and found or nil
end

-- What a type and, where that says nothing, the queue give to a task, as above; nil if nothing. A caller that may not read it
-- goes without.
function type_defaults.defaults_of(q, name)
  local found = redis.pcall('HMGET', q.prefix .. 'defaults', name, ':' .. q.name)
  if not (found[1] or found[2]) then return nil end
  if found[1] ~= of_type or found[2] ~= of_queue then
    of_type, of_queue = found[1], found[2]
    together = merged()
  end
  return together
end

-- Whether conditions may hold a task beyond its due time. Such a task gets no start-by: its type does not know when it is let go.
-- Those that only a newer redsched knows may hold it, too.
local function may_hold(text)
  if not text then return false end
  local plan = conditions.of(text)
  return not plan or (plan.hold or plan.wait_for or plan.after or plan.fifo or plan.digest) and true or false
end

-- The value that a task gets which is due at that time.
local function value_of(name, value, due)
  return name == 'expires_at' and clock.text(math.min(due + tonumber(string.sub(value, 2)), 4e12)) or value
end

-- Add to a task of a call what its type and its queue give: its words are then a list of its own, of field, value, ...
function type_defaults.fill(task, now)
  local given, n, due = type_defaults.defaults_of(task.q, task.type), nil, math.max(task.due, now)
  for i = 1, given and #given or 0, 2 do
    local name = given[i]
    if not task[name] and not (name == 'expires_at' and may_hold(task.conditions)) then
      if not n then
        n, task.words = task.last - task.first + 1, {unpack(task.words, task.first, task.last)}
      end
      task[name] = value_of(name, given[i + 1], due)
      task.words[n + 1], task.words[n + 2] = name, task[name]
      n = n + 2
    end
  end
  if n then task.first, task.last = 1, n end
end

-- What the type and the queue give to a task, as field, value, ... to be written with its own. has: answers a field of it.
function type_defaults.missing(q, name, due, has)
  local more, given = {}, type_defaults.defaults_of(q, name)
  for i = 1, given and #given or 0, 2 do
    if not has(given[i]) and not (given[i] == 'expires_at' and may_hold(has('conditions'))) then
      more[#more + 1], more[#more + 2] = given[i], value_of(given[i], given[i + 1], due)
    end
  end
  return more
end

-- Write what its type and its queue give into a task that plain commands made. Answers its start-by if it got one, as text.
function type_defaults.fill_raw(q, id, name, due)
  local call, key, has = clock.call, q.task .. id, {}
  if call.without == name then return nil end           -- the next raw task of a call mostly has the same type
  if not type_defaults.defaults_of(q, name) then
    call.without = name
    return nil
  end
  for i, value in ipairs(redis.call('HMGET', key, unpack(type_defaults.GIVEN))) do has[type_defaults.GIVEN[i]] = value end
  has.conditions = redis.call('HGET', key, 'conditions')
  local more, expires = type_defaults.missing(q, name, due, function(field) return has[field] end), nil
  for i = 1, #more, 2 do
    if more[i] == 'expires_at' then expires = more[i + 1] end
  end
  if more[1] then redis.call('HSET', key, unpack(more)) end
  return expires
end

-- The queue of a type's tasks, the first word of its line; nil if nobody knows it.
function type_defaults.queue_of(prefix, name)
  local line = redis.pcall('HGET', prefix .. 'types', name)
  local queue = type(line) == 'string' and string.match(line, '^%S+') or nil
  return keys.is_name(queue) and queue or nil
end

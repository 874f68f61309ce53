-- type_defaults: what is known of a type of tasks, and what it gives to tasks that do not say it themselves. Workers put it here.
--
-- USES  clock, keys, fields

local GIVEN = {'max_attempts', 'retry', 'timeout_ms', 'expires_at', 'retention_ms', 'key'}
type_defaults.MOST = 5000                               -- types of a namespace
local IS_GIVEN = {max_attempts = true, retry = true, timeout_ms = true, expires_at = true, retention_ms = true, key = true}

-- The defaults that a JSON text holds as field, value, ...; expires_at is +ms, from the due time on. nil if they are none.
function type_defaults.parse(text)
  local ok, found = pcall(cjson.decode, text)
  if not ok or type(found) ~= 'table' or #found == 0 or #found % 2 > 0 or #found > 2 * #GIVEN then return nil end
  for i = 1, #found, 2 do
    local name, value = found[i], found[i + 1]
    if not IS_GIVEN[name] or type(value) ~= 'string' or not fields.usable(name, value, 0) then return nil end
    if name == 'expires_at' and not string.find(value, '^%+%d+$') then return nil end
  end
  return found
end

local last_text, last_defaults = nil, nil               -- reading JSON is slow, and most calls ask for the same type

-- The defaults of a type, as above; nil if it has none or nobody knows it. A caller that may not read them goes without.
function type_defaults.defaults_of(prefix, name)
  local text = redis.pcall('HGET', prefix .. 'defaults', name)
  if type(text) ~= 'string' then return nil end
  if text ~= last_text then last_text, last_defaults = text, type_defaults.parse(text) end
  return last_defaults
end

-- The value that a task gets which is due at that time.
local function value_of(name, value, due)
  return name == 'expires_at' and clock.text(math.min(due + tonumber(string.sub(value, 2)), 4e12)) or value
end

-- Add to a task of a call what its type gives: its words are then a list of its own, of field, value, ...
function type_defaults.fill(task, now)
  local given, n, due = type_defaults.defaults_of(task.q.prefix, task.type), nil, math.max(task.due, now)
  for i = 1, given and #given or 0, 2 do
    local name = given[i]
    if not task[name] then
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

-- What the type gives to a task, as field, value, ... to be written with its own fields. has: answers whether it has a field.
function type_defaults.missing(prefix, name, due, has)
  local more, given = {}, type_defaults.defaults_of(prefix, name)
  for i = 1, given and #given or 0, 2 do
    if not has(given[i]) then
      more[#more + 1], more[#more + 2] = given[i], value_of(given[i], given[i + 1], due)
    end
  end
  return more
end

-- Write what its type gives into a task that plain commands made. Answers its start-by if it got one, as text.
function type_defaults.fill_raw(q, id, name, due)
  local call, key, has = clock.call, q.task .. id, {}
  if call.without == name then return nil end           -- the next raw task of a call mostly has the same type
  if not type_defaults.defaults_of(q.prefix, name) then
    call.without = name
    return nil
  end
  for i, value in ipairs(redis.call('HMGET', key, unpack(GIVEN))) do has[GIVEN[i]] = value end
  local more, expires = type_defaults.missing(q.prefix, name, due, function(field) return has[field] end), nil
  for i = 1, #more, 2 do
    if more[i] == 'expires_at' then expires = more[i + 1] end
  end
  if more[1] then redis.call('HSET', key, unpack(more)) end
  return expires
end

-- The queue of a type's tasks; nil if nobody knows it. A type's line is <queue> <app> <version or -> <start of its worker, ms>.
function type_defaults.queue_of(prefix, name)
  local line = redis.pcall('HGET', prefix .. 'types', name)
  local queue = type(line) == 'string' and string.match(line, '^%S+') or nil
  return keys.is_name(queue) and queue or nil
end

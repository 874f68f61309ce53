-- link_rules: the rules of the keys that link tasks to one another: whoever they name exists, and will be told.
--
-- USES  keys, safe, hash, errors, conditions, reminders, links, parent_rules

local MOST_LOOSE, MOST_TASKS = 500, 200                 -- members of one key; of those that are looked up
local ITEMS = {hold = true, heard = true, listeners = true, rules = true, made = true, ended = true, removed = true,
  resume = true, resumed = true, digest = true}

-- The plan of a live task, whether a newer redsched knows more of it, and its key.
local function plan_of_task(q, id)
  local found = keys.is_id(id) and hash.read(q.task .. id, 'state', 'conditions', 'key')
  if not (found and hash.LIVE[hash.state_of(found[1])] and found[2]) then return nil, false end
  local plan, newer = conditions.known(found[2])
  return plan, newer, found[3] or nil
end

function link_rules.stands_in_line(q, id, name)
  local plan, newer, key = plan_of_task(q, id)
  if newer then return true end
  for _, line in ipairs(plan and links.lines_of(plan, key, true) or {}) do
    if line == name then return true end
  end
  return false
end

local function holds_lock(q, id, name)
  local plan, newer = plan_of_task(q, id)
  return newer or plan ~= nil and plan.unique ~= nil and plan.unique.key == name
end

-- Whether a task that waits keeps a digest open for this key.
local function opens_digest(q, digest, key)
  local id = (safe.call('ZRANGE', q.digest_members .. digest, 0, 0) or {})[1]
  local found = keys.is_id(id) and hash.read(q.task .. id, 'state', 'conditions', 'frozen')
  local state, plan, newer = found and hash.state_of(found[1]), nil, false
  if found and found[2] then plan, newer = conditions.known(found[2]) end
  if state ~= 'scheduled' and state ~= 'held' or found[3] then return false end
  return newer or plan and plan.digest and plan.digest.key == key
end

local FAULT = {}

function FAULT.line(q, name)
  local first = redis.call('ZRANGE', q.line .. name, 0, 0)[1]
  return first and not link_rules.stands_in_line(q, first, name) and 'stale_line'
end

function FAULT.digest(q, name) return not opens_digest(q, redis.call('GET', q.digest .. name), name) and 'stale_digest' end

function FAULT.unique(q, name)
  local key = q.unique .. name
  local holder = string.match(redis.call('GET', key), '^%S+')
  return redis.call('PTTL', key) < 0 and not holds_lock(q, holder, name) and 'stale_unique'
end

-- The mover goes on with each digest, or drops what is left of it.
function FAULT.items(q, digest) return not reminders.is_set(q.prefix, 'digest/' .. q.name .. '/' .. digest) and 'orphan' end

-- Whether a task waits in a digest.
local function waits_in_digest(q, id, digest)
  local found = keys.is_id(id) and hash.read(q.task .. id, 'state', 'into')
  return found and found[2] == digest and hash.LIVE[hash.state_of(found[1])] and found[1] ~= 'running'
end

-- As long as a digest has not started, each of its tasks has an item.
function FAULT.members(q, digest)
  local broken, lacking = FAULT.items(q, digest), {}
  if broken or safe.call('HGET', q.items .. digest, ':started') then return broken end
  local ids = redis.call('ZRANGE', q.digest_members .. digest, 0, MOST_TASKS - 1)
  for _, id in ipairs(ids) do
    if safe.call('HEXISTS', q.items .. digest, id) ~= 1 and waits_in_digest(q, id, digest) then lacking[#lacking + 1] = id end
  end
  return #lacking > 0 and 'no_item', #ids, lacking
end

function FAULT.children(q, rest)
  local id, word = string.match(rest, '^([^/]*)/?(%a*)$')
  if word and word ~= '' then
    return not reminders.is_set(q.prefix, 'removed/' .. word .. '/' .. q.name .. '/' .. id) and 'orphan'
  end
  return safe.type_of(q.task .. rest) == 'none' and not reminders.is_set(q.prefix,
    'ended/gone/' .. q.name .. '/' .. rest) and 'orphan'
end

FAULT.parents = parent_rules.fault

-- What a task left behind goes with the task.
function FAULT.outcome(q, id) return safe.type_of(q.task .. id) == 'none' and 'orphan' end

-- Whether a live task waits for a fact. It counts as waiting if only a newer redsched or a caller with more rights can tell.
local function asks_for_fact(prefix, member, fact)
  local queue, id = string.match(member, '^([^/]+)/(.+)$')
  if not queue or not keys.is_name(queue) then return false end
  local ok, plan, newer = pcall(plan_of_task, keys.open(prefix .. 'due:' .. queue), id)
  if not ok and not errors.is_denied(plan) then error(plan, 0) end
  if not ok or newer then return true end
  for _, name in ipairs(plan and conditions.facts(plan) or {}) do
    if name == fact then return true end
  end
  return false
end

function FAULT.listeners(prefix, fact)
  local stray, members = {}, redis.call('ZRANGE', prefix .. 'listeners:' .. fact, 0, MOST_TASKS - 1)
  for _, member in ipairs(members) do
    if not asks_for_fact(prefix, member, fact) then stray[#stray + 1] = member end
  end
  return #stray > 0 and 'stale_listener', #members, stray
end

-- Items whose time is near will be worked off anyway, so the latest are looked at.
function FAULT.agenda(prefix)
  local stray, items = {}, redis.call('ZRANGE', prefix .. 'agenda', 0, MOST_LOOSE - 1, 'REV')
  for _, item in ipairs(items) do
    if not ITEMS[string.match(item, '^(%a+)/.') or ''] then stray[#stray + 1] = item end
  end
  return #stray > 0 and 'stray_item', #items, stray
end

function FAULT.cursors(prefix)
  local stray, flat = {}, redis.call('HSCAN', prefix .. 'cursors', 0, 'COUNT', MOST_LOOSE)[2]
  for i = 1, #flat, 2 do
    if not reminders.is_set(prefix, flat[i]) then stray[#stray + 1] = flat[i] end
  end
  return #stray > 0 and 'stale_cursor', #flat / 2, stray
end

-- The rule that a key of these kinds breaks, or false; how many were looked at for that; which of its members break it.
function link_rules.fault(prefix, name)
  if name == 'agenda' or name == 'cursors' then return FAULT[name](prefix) end
  local fact = string.match(name, '^listeners:(.+)$')
  if fact then return FAULT.listeners(prefix, fact) end
  local kind, queue, rest = string.match(name, '^(%a+):([^:]+):(.+)$')
  if not FAULT[kind or ''] or not keys.is_name(queue) then return false, 1 end
  local broken, looked, stray = FAULT[kind](keys.open(prefix .. 'due:' .. queue), rest)
  return broken, looked or 1, stray
end

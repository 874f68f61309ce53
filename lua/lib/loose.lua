-- loose: the rules of the keys that tie tasks to one another: whoever they name is there, and is told.

local MOST_LOOSE, MOST_TASKS = 500, 200                 -- members of one key; of those that are looked up
local ITEMS = {hold = true, heard = true, listeners = true, rules = true, made = true, ended = true, removed = true, resume = true, digest = true}

-- What a task says of a key that names it.
local NAMED = {}

-- The plan of a live task, whether a newer redsched knows more of it, and its key.
function NAMED.plan(q, id)
  local found = is_id(id) and read(q.task .. id, 'state', 'conditions', 'key')
  if not (found and LIVE[state_of(found[1])] and found[2]) then return nil, false end
  local plan, newer = known_plan(found[2])
  return plan, newer, found[3] or nil
end

function NAMED.stands(q, id, name)
  local plan, newer, key = NAMED.plan(q, id)
  if newer then return true end
  for _, line in ipairs(plan and lines_of(plan, key, true) or {}) do
    if line == name then return true end
  end
  return false
end

function NAMED.locks(q, id, name)
  local plan, newer = NAMED.plan(q, id)
  return newer or plan ~= nil and plan.unique ~= nil and plan.unique.key == name
end

-- Whether a task that waits keeps a digest open.
function NAMED.opens(q, digest, key)
  local id = (soft('ZRANGE', q.digest_members .. digest, 0, 0) or {})[1]
  local found = is_id(id) and read(q.task .. id, 'state', 'conditions', 'frozen')
  local state, plan, newer = found and state_of(found[1]), nil, false
  if found and found[2] then plan, newer = known_plan(found[2]) end
  if state ~= 'scheduled' and state ~= 'held' or found[3] then return false end
  return newer or plan and plan.digest and plan.digest.key == key
end

local LOOSE = {}

function LOOSE.line(q, name)
  local first = redis.call('ZRANGE', q.line .. name, 0, 0)[1]
  return first and not NAMED.stands(q, first, name) and 'stale_line'
end

function LOOSE.digest(q, name) return not NAMED.opens(q, redis.call('GET', q.digest .. name), name) and 'stale_digest' end

function LOOSE.unique(q, name)
  local key = q.unique .. name
  local holder = string.match(redis.call('GET', key), '^%S+')
  return redis.call('PTTL', key) < 0 and not NAMED.locks(q, holder, name) and 'stale_unique'
end

-- The mover goes on with each digest, or drops what is left of it.
function LOOSE.items(q, digest) return not is_reminded(q.prefix, 'digest/' .. q.name .. '/' .. digest) and 'orphan' end

-- Whether a task waits in a digest.
function NAMED.waits(q, id, digest)
  local found = is_id(id) and read(q.task .. id, 'state', 'into')
  return found and found[2] == digest and LIVE[state_of(found[1])] and found[1] ~= 'running'
end

-- As long as it has not started, each of its tasks has an item.
function LOOSE.members(q, digest)
  local broken, lacking = LOOSE.items(q, digest), {}
  if broken or soft('HGET', q.items .. digest, ':started') then return broken end
  local ids = redis.call('ZRANGE', q.digest_members .. digest, 0, MOST_TASKS - 1)
  for _, id in ipairs(ids) do
    if soft('HEXISTS', q.items .. digest, id) ~= 1 and NAMED.waits(q, id, digest) then lacking[#lacking + 1] = id end
  end
  return #lacking > 0 and 'no_item', #ids, lacking
end

function LOOSE.children(q, rest)
  local id, word = string.match(rest, '^([^/]*)/?(%a*)$')
  if word and word ~= '' then return not is_reminded(q.prefix, 'removed/' .. word .. '/' .. q.name .. '/' .. id) and 'orphan' end
  return type_of(q.task .. rest) == 'none' and not is_reminded(q.prefix, 'ended/gone/' .. q.name .. '/' .. rest) and 'orphan'
end

LOOSE.parents = parents_fault

-- Whether a live task asks for a fact; a newer redsched may know that it does, or one that may read its queue.
function NAMED.asks(prefix, member, fact)
  local queue, id = string.match(member, '^([^/]+)/(.+)$')
  if not queue or not is_name(queue) then return false end
  local ok, plan, newer = pcall(NAMED.plan, open(prefix .. 'due:' .. queue), id)
  if not ok and not is_denied(plan) then error(plan, 0) end
  if not ok or newer then return true end
  for _, name in ipairs(plan and facts_of(plan) or {}) do
    if name == fact then return true end
  end
  return false
end

function LOOSE.listeners(prefix, fact)
  local stray, members = {}, redis.call('ZRANGE', prefix .. 'listeners:' .. fact, 0, MOST_TASKS - 1)
  for _, member in ipairs(members) do
    if not NAMED.asks(prefix, member, fact) then stray[#stray + 1] = member end
  end
  return #stray > 0 and 'stale_listener', #members, stray
end

-- Items whose time is near go by themselves, so the latest are looked at.
function LOOSE.agenda(prefix)
  local stray, items = {}, redis.call('ZRANGE', prefix .. 'agenda', 0, MOST_LOOSE - 1, 'REV')
  for _, item in ipairs(items) do
    if not ITEMS[string.match(item, '^(%a+)/.') or ''] then stray[#stray + 1] = item end
  end
  return #stray > 0 and 'stray_item', #items, stray
end

function LOOSE.cursors(prefix)
  local stray, flat = {}, redis.call('HSCAN', prefix .. 'cursors', 0, 'COUNT', MOST_LOOSE)[2]
  for i = 1, #flat, 2 do
    if not is_reminded(prefix, flat[i]) then stray[#stray + 1] = flat[i] end
  end
  return #stray > 0 and 'stale_cursor', #flat / 2, stray
end

-- The rule that a key of these kinds breaks, or false; how many were looked at for that; which of its members break it.
local function loose_fault(prefix, name)
  if name == 'agenda' or name == 'cursors' then return LOOSE[name](prefix) end
  local fact = string.match(name, '^listeners:(.+)$')
  if fact then return LOOSE.listeners(prefix, fact) end
  local kind, queue, rest = string.match(name, '^(%a+):([^:]+):(.+)$')
  if not LOOSE[kind or ''] or not is_name(queue) then return false, 1 end
  local broken, looked, stray = LOOSE[kind](open(prefix .. 'due:' .. queue), rest)
  return broken, looked or 1, stray
end

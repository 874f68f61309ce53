-- key_rules: the rules that each key keeps at every moment, and the names of those that are broken.
--
-- USES  safe, link_rules, index_rules

local TYPES = {task = 'hash', due = 'zset', held = 'zset', running = 'zset', finished = 'zset', dead = 'zset',
  quarantine = 'zset', ready = 'stream', events = 'stream', outcome = 'hash', stats = 'hash', meta = 'hash',
  queues = 'set', mover = 'string', claimed = 'string', inbox = 'stream', answer = 'hash', run = 'hash',
  schedule = 'hash', schedules = 'zset', calendars = 'hash', listeners = 'zset', line = 'zset', children = 'zset',
  stopped = 'zset', agenda = 'zset', parents = 'hash', paused = 'hash', cursors = 'hash', rules = 'hash',
    items = 'hash', members = 'zset',
  unique = 'string', digest = 'string', config = 'hash', sweeps = 'zset',
  emitted = 'set', forgotten = 'zset', operation = 'hash', operations = 'zset', about = 'zset', keyed = 'zset', tagged = 'zset',
  indexed = 'string', types = 'hash', defaults = 'hash', schemas = 'hash', apps = 'zset', live = 'zset', owned = 'set'}
local LASTING = {due = true, held = true, running = true, finished = true, dead = true, ready = true, queues = true,
  meta = true, schedule = true, schedules = true, calendars = true, listeners = true, line = true, children = true,
  stopped = true, agenda = true, parents = true, paused = true, cursors = true, rules = true, items = true, members = true,
  digest = true, config = true, sweeps = true, about = true, keyed = true, tagged = true, indexed = true,
  types = true, defaults = true, schemas = true, owned = true}

local function group_of(stream)
  local workers, others = nil, 0
  for _, words in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local group = {}
    for i = 1, #words, 2 do group[words[i]] = words[i + 1] end
    if group.name == 'workers' then workers = group else others = others + 1 end
  end
  return workers, others
end

-- Whether a stream takes no more entries, because somebody wrote one with the highest possible id. The entries of an inbox
-- are taken first.
local function is_used_up(key, kind)
  local told = redis.call('XINFO', 'STREAM', key)
  for i = 1, #told, 2 do
    if told[i] == 'length' and told[i + 1] > 0 and kind == 'inbox' then return false end
    if told[i] == 'last-generated-id' then return told[i + 1] == '18446744073709551615-18446744073709551615' end
  end
end

-- A schedule is in the set that says when it is looked at, and only one that is paused or has ended is never looked at.
local function schedule_faults(prefix, id, found)
  local score = safe.call('ZSCORE', prefix .. 'schedules', id)
  if found == 'none' then return score and {'no_schedule'} or {} end
  if not score then return {'unscheduled'} end
  local told = redis.call('HMGET', prefix .. 'schedule:' .. id, 'paused', 'ended', 'buffer')
  local rests = told[1] or told[2] and not told[3]
  return tonumber(score) >= 9e15 and not rests and {'never_looked_at'} or {}
end

-- Answers the faults, how many members were looked at, and which of them are at fault.
function key_rules.faults(prefix, name)
  local kind, found, broken = string.match(name, '^[^:]+'), safe.type_of(prefix .. name), {}
  local schedule = string.match(name, '^schedule:(.*)$')
  if schedule and (found == 'none' or found == 'hash') then broken = schedule_faults(prefix, schedule, found) end
  if schedule and found == 'none' then return broken end
  local stale = index_rules.fault(prefix, name)
  if stale ~= nil then return {stale or nil} end
  if found == 'none' then return name == 'meta' and {'epoch'} or {} end
  if TYPES[kind] and found ~= TYPES[kind] then return {'key_type'} end
  if LASTING[kind] and redis.call('PTTL', prefix .. name) >= 0 then broken[#broken + 1] = 'key_ttl' end
  -- a call that stopped right after its first count of a minute
  if kind == 'stats' and string.find(name, ':.+:') and redis.call('PTTL', prefix .. name) < 0 then
    broken[#broken + 1] = 'no_ttl'
  end
  if TYPES[kind] == 'stream' and is_used_up(prefix .. name, kind) then broken[#broken + 1] = 'used_up' end
  if kind == 'ready' then
    local workers, others = group_of(prefix .. name)
    if not workers then broken[#broken + 1] = 'no_group' end
    if others > 0 then broken[#broken + 1] = 'foreign_group' end
  elseif name == 'meta' and redis.call('HEXISTS', prefix .. name, 'epoch') == 0 then
    broken[#broken + 1] = 'epoch'
  end
  local loose, looked, stray = link_rules.fault(prefix, name)
  if loose then broken[#broken + 1] = loose end
  return broken, looked, stray
end

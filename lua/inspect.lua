-- inspect: one page of tasks, entries or keys: which of them break a rule, each judged on one view of all its keys.
--
-- KEYS   due      zset    {namespace}:due:<queue>
-- ARGV   now      int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   what     string  due | held | running | finished | dead (the members of that set) · schedules (the key of each) ·
--                         high | normal | low (the entries of that stream) · pending/high ... (what is pending of it) ·
--                         tasks | entries | pendings | keys (those named)
-- ARGV   cursor   string  '' or what the last page answered
-- ARGV   limit    int     1..500, most looked at
-- ARGV   name...  words   1..500 ids, <priority>/<stream id>, or keys without their {namespace}: (see what). With a set:
--                         brief: of its members only those that name no hash; the others are found by a SCAN of the hashes
-- REPLY  {now, cursor, looked, fault...}  cursor '' on the last page; of named keys: how many were judged, where they have
--                         too many members for one call. Each fault {kind: task, entry, pending or key, name, broken rules,
--                         mark: what must stay the same for it to be the same fault, task id}
-- FLAGS  no-writes
-- USES   clock, keys, check, read, ready, page, view, fault, amiss

local q, what, cursor, limit = open(KEYS[1]), ARGV[2], ARGV[3], math.max(1, math.min(tonumber(ARGV[4]), 500))
local now = clock(q.prefix, ARGV[1])
local reply, weight = {now, '', 0}, 0

local function tell(kind, name, broken, mark, id)
  reply[3] = reply[3] + 1
  if #broken > 0 then reply[#reply + 1] = {kind, name, table.concat(broken, ' '), mark, id or ''} end
end

local function key(name)
  local broken, looked = key_faults(q.prefix, name)
  weight = weight + (looked or 1)
  tell('key', name, broken, type_of(q.prefix .. name))
end

local function task(id)
  local v = view_of(q, id)
  tell('task', id, task_faults(q, v, now), mark_of(v), id)
end

local function entry(priority, found)
  local name, id = priority .. '/' .. found[1], found[2] and found[2][2] or ''
  local broken, mark = entry_faults(q, name, id)
  tell('entry', name, broken, mark, id)
end

local function pending(priority, at)
  local name = priority .. '/' .. at
  tell('pending', name, entry_at(q, name) and {} or {'dangling_pending'}, name)
end

local of_pending = string.match(what, '^pending/(%a+)$')
if what == 'tasks' or what == 'keys' or what == 'entries' or what == 'pendings' then
  for i = 5, math.min(#ARGV, 504) do
    local name = ARGV[i]
    local priority, at = string.match(name, '^(%a+)/(.+)$')
    local found, stream = entry_at(q, name)
    if weight >= 500 then reply[2] = text(i - 5) break end
    if what == 'tasks' then task(name) end
    if what == 'keys' then key(name) end
    if what == 'entries' and found then entry(priority, found) end
    if what == 'pendings' and stream and #soft('XPENDING', stream, 'workers', at, at, 1) > 0 then pending(priority, at) end
  end
elseif PRIORITY[of_pending or what] then
  local from = cursor == '' and '-' or '(' .. cursor
  local stream = stream_of(q, of_pending or what)
  local page = of_pending and (soft('XPENDING', stream, 'workers', from, '+', limit) or {})
    or redis.call('XRANGE', stream, from, '+', 'COUNT', limit)
  for _, found in ipairs(page) do
    if of_pending then pending(of_pending, found[1]) else entry(what, found) end
  end
  if #page == limit then reply[2] = page[limit][1] end
elseif what == 'schedules' or IS_SET[what] then
  local page, after = set_page(q[what] or q.prefix .. what, cursor, limit)
  for _, item in ipairs(page) do
    local is_task = q[what] and #ARGV > 4 and is_id(item[1]) and type_of(q.task .. item[1]) == 'hash'
    if is_task then tell('task', item[1], {}) elseif q[what] then task(item[1]) else key('schedule:' .. item[1]) end
  end
  reply[2] = after
else
  return redis.error_reply('RS_INVALID 1 what is unknown')
end
return reply

-- inspect: one page of tasks, entries or keys: which of them break a rule, each judged on one view of all its keys.
--
-- KEYS   due      zset    {namespace}:due:<queue>
-- ARGV   now      int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   what     string  due | held | running | finished | dead (the members of that set) · schedules (the key of each) ·
--                         high | normal | low (the entries of that stream) · pending/high ... (what is pending of it) ·
--                         tasks | entries | pendings | keys (those named)
-- ARGV   cursor   string  '' or what the last page answered; of keys parts: large ones are judged in parts
-- ARGV   limit    int     1..500, most looked at; fewer where they take long
-- ARGV   name...  words   1..500 ids, <priority>/<stream id>, or keys without their {namespace}: (see what). With a set:
--                         brief: of its members only those that name no hash; the others are found by a SCAN of the hashes
-- REPLY  {now, cursor, looked, fault...}  cursor '' on the last page; of named keys: how many were judged, where not all were:
--                         or parts, that number, and what the cursor is to be for the next, after parts. Each fault {kind:
--                         task, entry, pending or key, name, broken rules, mark: what must stay the same for it to be the same
--                         fault, task id}
-- FLAGS  no-writes
-- USES   budget, clock, keys, check, safe, pages, streams, task_view, inspect

local q, what, cursor, limit = keys.open(KEYS[1]), ARGV[2], ARGV[3], math.max(1, math.min(tonumber(ARGV[4]), 500))
local now = clock.now(q.prefix, ARGV[1])
local reply = {now, '', 0}

local of_pending = string.match(what, '^pending/(%a+)$')
if what == 'tasks' or what == 'keys' or what == 'entries' or what == 'pendings' then
  local part, rest = string.match(cursor, '^parts ?(.*)$'), nil
  for i = 5, math.min(#ARGV, 504) do
    local name = ARGV[i]
    local priority, at = string.match(name, '^(%a+)/(.+)$')
    local found, stream = task_view.entry_at(q, name)
    if budget.is_spent(500) then reply[2] = clock.text(i - 5) break end
    if what == 'tasks' then inspect.task(reply, q, name, now) end
    if what == 'keys' then rest, part = inspect.key(reply, q, name, part), part and '' end
    if rest then reply[2] = 'parts ' .. clock.text(i - 5) .. ' ' .. rest break end
    if what == 'entries' and found then inspect.entry(reply, q, priority, found) end
    if what == 'pendings' and stream and #safe.call('XPENDING', stream, 'workers', at, at, 1) > 0 then
      inspect.pending(reply, q, priority, at)
    end
  end
elseif check.PRIORITIES[of_pending or what] then
  local from = cursor == '' and '-' or '(' .. cursor
  local stream = streams.of(q, of_pending or what)
  local page = of_pending and (safe.call('XPENDING', stream, 'workers', from, '+', limit) or {})
    or redis.call('XRANGE', stream, from, '+', 'COUNT', limit)
  for i, found in ipairs(page) do
    if budget.is_spent() then break end
    if of_pending then inspect.pending(reply, q, of_pending, found[1]) else inspect.entry(reply, q, what, found) end
    budget.spend(1)
    if i < #page or i == limit then reply[2] = found[1] else reply[2] = '' end
  end
elseif what == 'schedules' or task_view.IS_SET[what] then
  local page, last, after = pages.of_set(q[what] or q.prefix .. what, cursor, limit)
  reply[2] = last
  for i, item in ipairs(page) do
    if budget.is_spent() then reply[2] = after(i - 1) break end
    budget.spend(0.5)
    local is_task = q[what] and #ARGV > 4 and keys.is_id(item[1]) and safe.type_of(q.task .. item[1]) == 'hash'
    if is_task then
      inspect.tell(reply, 'task', item[1], {})
    elseif q[what] then
      inspect.task(reply, q, item[1], now)
    else
      inspect.key(reply, q, 'schedule:' .. item[1])
    end
  end
else
  return redis.error_reply('RS_INVALID 1 what is unknown')
end
return reply

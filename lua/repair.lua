-- repair: put right what inspect found broken. Each fault is judged again here; what is well is left alone.
--
-- KEYS   due      zset    {namespace}:due:<queue>
-- ARGV   now      int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   fault... words   2 words each, 1..500 times: kind (task | entry | pending | key | queue) and its name, as inspect
--                         tells them
-- REPLY  {word...}        for each, in order: well (nothing was wrong with it) · a task: the state that it has now, or
--                         quarantined · entry: dropped · pending: dropped · key: aside (moved to {namespace}:aside:<name>),
--                         kept (it no longer expires), grouped, dropped (no schedule has the id, no task the key, no item the
--                         cursor; no task listens), scheduled (it is looked at now), completed (the items of a digest),
--                         advanced (whose turn it is in a line goes on), reminded (the mover tells the children) or recounted ·
--                         queue: listed
-- FLAGS  none
-- USES   clock, keys, safe, events, stats, streams, endings, task_view, repair_links, repair_task

local q = keys.open(KEYS[1])
local now, answers = clock.now(q.prefix, ARGV[1]), {}

local function repair_entry(name)
  local found = task_view.entry_at(q, name)
  if not found then return 'well' end
  local id = found[2] and found[2][2] or ''
  local v = task_view.read(q, id)
  if v.state == 'ready' and v.entry == name then return 'well' end
  if v.kind ~= 'hash' and not v.aside then
    endings.quarantine(q, id, now, not v.valid and 'bad id' or v.kind == 'none' and 'missing' or 'wrong type')
  end
  streams.remove(q, name)
  return 'dropped'
end

local function repair_pending(name)
  local found, stream, at = task_view.entry_at(q, name)
  if found or not stream then return 'well' end
  return safe.call('XACK', stream, 'workers', at) == 1 and 'dropped' or 'well'
end

for i = 2, #ARGV, 2 do
  local kind, name, answer = ARGV[i], ARGV[i + 1], 'well'
  if kind == 'task' then
    answer = repair_task.repair(q, name, now)
  elseif kind == 'entry' then
    answer = repair_entry(name)
  elseif kind == 'pending' then
    answer = repair_pending(name)
  elseif kind == 'key' then
    answer = repair_links.of_key(q, name, now)
  elseif kind == 'queue' and stats.add_queue(q) then
    answer = 'listed'
  end
  if answer ~= 'well' then
    events.tell(q, 'repaired', string.sub(name, 1, 128), 'kind', kind, 'now', answer)
    stats.count(q, now, 'repaired', 1)
  end
  answers[i / 2] = answer
end
endings.tell_quarantined(q, now)
return answers

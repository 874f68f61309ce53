-- about: what there is beside tasks about a subject: facts, lines, locks, schedules and events; all read at one moment.
--
-- KEYS   queues   set     {namespace}:queues
-- ARGV   now      int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   subject  string  as the part of an id before its first colon
-- ARGV   named... words   2 words each, a kind and a name, 0..500 times, of what else to look for, such as what its tasks name:
--                         fact and its name · line or lock and <queue>:<name> · schedule and its id · id and that of a task
-- REPLY  {now, told...}   ms; then lists that begin with what they tell: {fact, name, value (200 bytes of it; '' of a hash),
--                         ms that are left of it, -1: it stays} · {line, queue, name, first, how many stand in it} · {lock,
--                         queue, name, task, since ms, ms that are left of it, -1: until its task ends} · {schedule, id, next
--                         look ms, why it is paused or ''} · {event, ms, event, queue, id, field, value, ...}: up to 100 of
--                         the last 1000, latest first; of the last 250 where the call takes long. Up to 200 facts are told, also
--                         under the names of events that were emitted
-- FLAGS  no-writes
-- USES   budget, clock, safe

local queues, subject = KEYS[1], ARGV[2]
local prefix = string.match(queues, '^({[^{}]+}:)queues$')
if not prefix then return redis.error_reply('RS_KEYS the key must be {namespace}:queues') end
local now = clock.now(prefix, ARGV[1])
local MOST_TOLD, MOST_FACTS, n_facts, PART = 100, 200, 0, 250   -- events that are told; facts; events that are read at once
local reply, ids, told, shown = {now}, {[subject] = true}, {}, 0
local function tell(...) reply[#reply + 1] = {...} end

local look = {id = function(id) ids[id] = true end}
function look.fact(name)
  local key = prefix .. 'fact:' .. name
  if n_facts >= MOST_FACTS or redis.call('EXISTS', key) == 0 then return end
  n_facts = n_facts + 1
  tell('fact', name, safe.call('GETRANGE', key, 0, 199) or '', redis.call('PTTL', key))
end
function look.line(name)
  local queue, line = string.match(name, '^([^:]+):(.+)$')
  local first = queue and safe.call('ZRANGE', prefix .. 'line:' .. name, 0, 0)
  if first and first[1] then tell('line', queue, line, first[1], redis.call('ZCARD', prefix .. 'line:' .. name)) end
end
function look.lock(name)
  local queue, lock = string.match(name, '^([^:]+):(.+)$')
  local key = prefix .. 'unique:' .. name
  local id, since = string.match(queue and safe.call('GET', key) or '', '^(%S+) (%d+)$')
  if id then tell('lock', queue, lock, id, tonumber(since), redis.call('PTTL', key)) end
end
function look.schedule(id)
  local at = safe.call('ZSCORE', prefix .. 'schedules', id)
  local why = at and (safe.call('HGET', prefix .. 'schedule:' .. id, 'paused') or '')
  if at then tell('schedule', id, math.floor(math.min(tonumber(at), 9e15)), why) end
end

budget.spend(1)
budget.is_spent()                                        -- the time of this call counts from here
for _, event in ipairs((safe.call('SSCAN', prefix .. 'emitted', 0, 'COUNT', 1000) or {'0', {}})[2]) do
  told['fact ' .. event .. ':' .. subject] = true
  look.fact(event .. ':' .. subject)
end
for at = 3, math.min(#ARGV, 1002), 2 do
  local kind, name = ARGV[at], ARGV[at + 1]
  if look[kind] and name and not told[kind .. ' ' .. name] then
    told[kind .. ' ' .. name] = true
    look[kind](name)
  end
end
-- Newest first, a part at a time: what was looked up above may have used up the time of this call.
local before, looked = '+', 0
repeat
  local part = safe.call('XREVRANGE', prefix .. 'events', before, '-', 'COUNT', PART) or {}
  for _, entry in ipairs(part) do
    local f, words = {}, entry[2]
    for i = 1, #words, 2 do f[words[i]] = words[i + 1] end
    if shown < MOST_TOLD and f.event and f.queue and f.id and (ids[f.id]
        or string.match(f.id, '^[^:]+:([^:]+)') == subject and f.event == 'emitted'
        or string.match(f.id, '^([^:]+):') == subject) then
      shown = shown + 1
      tell('event', tonumber(string.match(entry[1], '^%d+')), f.event, f.queue, f.id, unpack(words, 7))
    end
    before = '(' .. entry[1]
  end
  looked = looked + PART
  budget.spend(100)
until #part < PART or looked >= 1000 or shown >= MOST_TOLD or budget.is_spent()
return reply

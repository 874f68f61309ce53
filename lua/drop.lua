-- drop: remove dead or finished tasks with all that is known of them, or members of the quarantine.
--
-- KEYS   due     zset    {namespace}:due:<queue>
-- ARGV   now     int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   place   string  task (each word is an id) | quarantine (each word is a member, <reason>:<id>)
-- ARGV   word... string  1..1000
-- REPLY  {word...}       dropped | missing | the state of a task that still lives: nothing was written for it, in order
-- FLAGS  allow-oom
-- USES   clock, keys, hash, events, stats, memory, endings

local q, place = keys.open(KEYS[1]), ARGV[2]
local now = clock.now(q.prefix, ARGV[1])
if place ~= 'task' and place ~= 'quarantine' then
  return redis.error_reply('RS_INVALID 1 place must be task or quarantine')
end
memory.drain(q)

local function drop_task(id)
  if not keys.is_id(id) then return 'missing' end
  local found, why = hash.read(q.task .. id, 'state', 'bound')
  local state, gone = found and hash.state_of(found[1]), {}
  if why == 'missing' then                              -- a call that stopped half-way may have left it there
    redis.call('ZREM', q.dead, id)
    redis.call('ZREM', q.finished, id)
  end
  if not found then return 'missing' end
  if state ~= 'dead' and not hash.FINISHED[state] then return string.sub(state, 1, 20) end
  redis.call('ZREM', q.due, id)                         -- a duplicate, if it is there: it must not name a missing hash
  endings.forget(q, id, now, state, found[2], gone)
  redis.call('UNLINK', unpack(gone))
  redis.call('ZREM', state == 'dead' and q.dead or q.finished, id)
  events.tell(q, 'dropped', id, 'state', state)
  return 'dropped'
end

local answers, dropped = {}, 0
for i = 3, #ARGV do
  local answer
  if place == 'task' then
    answer = drop_task(ARGV[i])
  else
    answer = redis.call('ZREM', q.quarantine, ARGV[i]) == 1 and 'dropped' or 'missing'
  end
  if answer == 'dropped' then dropped = dropped + 1 end
  answers[i - 2] = answer
end
stats.count(q, now, 'dropped', dropped)
return answers

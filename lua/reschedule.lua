-- reschedule: give tasks that wait another due time.
--
-- KEYS   due    zset    {namespace}:due:<queue>
-- ARGV   now    int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   when   string  ms since the epoch, 0 (now) or +ms (from now)
-- ARGV   id...  string  1..1000 ids
-- REPLY  {word...}      rescheduled | running | finished | missing, in order
-- FLAGS  allow-oom
-- USES   clock, keys, read, event, drain, ready, hold, field

local q = open(KEYS[1])
local now = clock(q.prefix, ARGV[1])
local due = due_time(ARGV[2], now)
if not due then return redis.error_reply('RS_INVALID 1 due must be ms since the epoch, 0 or +ms') end
if due == 0 then due = now end
drain(q)

local answers = {}
for i = 3, #ARGV do
  local id, answer = ARGV[i], 'rescheduled'
  local found = is_id(id) and read(q.task .. id, 'state', 'entry')
  local state = found and state_of(found[1])
  if not found then
    answer = 'missing'
  elseif state == 'scheduled' or state == 'held' or state == 'ready' then
    redis.call('ZADD', q.due, due, id)
    if state == 'held' then
      local why = redis.call('HGET', q.task .. id, 'blocked')
      redis.call('HSET', q.task .. id, 'state', 'scheduled', 'blocked', '', 'delay_ms', '')
      redis.call('HDEL', q.task .. id, 'delay_ms')
      leave_hold(q, id, why or nil)
    else
      redis.call('HSET', q.task .. id, 'state', 'scheduled')
    end
    if state == 'ready' then drop_entry(q, found[2]) end
    event(q, 'rescheduled', id, 'due', text(due))
  else
    answer = state == 'running' and 'running' or 'finished'
  end
  answers[i - 2] = answer
end
return answers

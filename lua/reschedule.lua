-- reschedule: give tasks that wait another due time.
--
-- KEYS   due    zset    {namespace}:due:<queue>
-- ARGV   now    int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   when   string  ms since the epoch, 0 (now) or +ms (from now)
-- ARGV   id...  string  1..1000 ids
-- REPLY  {word...}      rescheduled | running | finished | missing, in order
-- FLAGS  allow-oom
-- USES   clock, keys, hash, events, memory, streams, fields, holds

local q = keys.open(KEYS[1])
local now = clock.now(q.prefix, ARGV[1])
local due = fields.due_time(ARGV[2], now)
if not due then return redis.error_reply('RS_INVALID 1 due must be ms since the epoch, 0 or +ms') end
if due == 0 then due = now end
memory.drain(q)

local answers = {}
for i = 3, #ARGV do
  local id, answer = ARGV[i], 'rescheduled'
  local found = keys.is_id(id) and hash.read(q.task .. id, 'state', 'entry')
  local state = found and hash.state_of(found[1])
  if not found then
    answer = 'missing'
  elseif state == 'scheduled' or state == 'held' or state == 'ready' then
    redis.call('ZADD', q.due, due, id)
    if state == 'held' then
      local why = redis.call('HGET', q.task .. id, 'blocked')
      redis.call('HSET', q.task .. id, 'state', 'scheduled', 'blocked', '', 'delay_ms', '')
      redis.call('HDEL', q.task .. id, 'delay_ms')
      holds.leave(q, id, why or nil)
    else
      redis.call('HSET', q.task .. id, 'state', 'scheduled')
    end
    if state == 'ready' then streams.remove(q, found[2]) end
    events.tell(q, 'rescheduled', id, 'due', clock.text(due))
  else
    answer = state == 'running' and 'running' or 'finished'
  end
  answers[i - 2] = answer
end
return answers

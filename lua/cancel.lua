-- cancel: tasks that have not started never will; running ones are asked to stop.
--
-- KEYS   due     zset    {namespace}:due:<queue>
-- ARGV   now     int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   reason  string  at most 200 bytes are kept
-- ARGV   id...   string  1..1000 ids
-- REPLY  {word...}       cancelled | requested (running: its worker is told at the next renewal) | finished | missing, in order
-- FLAGS  allow-oom
-- USES   clock, keys, read, event, drain, ready, finish

local q = open(KEYS[1])
local now, reason = clock(q.prefix, ARGV[1]), string.sub(ARGV[2], 1, 200)
if reason == '' then reason = 'cancelled' end
drain(q)

local answers = {}
for i = 3, #ARGV do
  local id, answer = ARGV[i], 'cancelled'
  local found = is_id(id) and read(q.task .. id, 'state', 'entry', 'retention_ms', 'cancel_requested')
  local state = found and state_of(found[1])
  if not found then
    answer = 'missing'
  elseif state == 'running' then
    answer = 'requested'
    if not found[4] then
      redis.call('HSET', q.task .. id, 'cancel_requested', reason)
      event(q, 'cancel_requested', id)
    end
  elseif state == 'scheduled' or state == 'held' or state == 'ready' then
    call_off(q, id, now, found[3], reason)
    redis.call('ZREM', q.due, id)
    if state == 'held' then redis.call('ZREM', q.held, id) end
    if state == 'ready' then drop_entry(q, found[2]) end
  elseif state ~= 'cancelled' then                      -- cancelled already: the same answer again
    answer = 'finished'
  end
  answers[i - 2] = answer
end
return answers

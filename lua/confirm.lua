-- confirm: let tasks go that were submitted as held, or abandon them: what their producer waited for has happened, or will not.
--
-- KEYS   due     zset    {namespace}:due:<queue>
-- ARGV   now     int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   action  string  confirm | abandon
-- ARGV   token   string  what they were submitted with
-- ARGV   id...   string  1..1000 ids
-- REPLY  {word...}       confirmed | abandoned | requested (its time was over and it runs: its worker is asked to stop) | refused
--                        (another token, or it was not submitted as held) | missing | the state of one that has ended, in order
-- FLAGS  allow-oom
-- USES   clock, keys, hash, memory, cancel, conditions, blocked, verdicts

local q, action, token = keys.open(KEYS[1]), ARGV[2], ARGV[3]
local now = clock.now(q.prefix, ARGV[1])
if action ~= 'confirm' and action ~= 'abandon' then
  return redis.error_reply('RS_INVALID 1 action must be confirm or abandon')
end
memory.drain(q)

local answers = {}
for i = 4, #ARGV do
  local id, answer = ARGV[i], 'missing'
  local f = keys.is_id(id) and blocked.read(q, id)
  local plan = f and f.conditions and conditions.known(f.conditions)
  if f and not hash.LIVE[f.state] then
    answer = f.confirmed and action == 'confirm' and 'confirmed' or string.sub(f.state, 1, 20)
  elseif f and not (plan and plan.hold and plan.hold.token == token) then
    answer = 'refused'
  elseif f and action == 'abandon' then
    local word = f.confirmed and 'refused' or cancel.task(q, id, now, 'abandoned')
    answer = (word == 'refused' or word == 'requested') and word or 'abandoned'
  elseif f then
    answer = 'confirmed'
    redis.call('HSET', q.task .. id, 'confirmed', 1)
    verdicts.look_again(q, id, now)
  end
  answers[i - 3] = answer
end
return answers

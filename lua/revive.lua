-- revive: run dead tasks again, as if they had never been tried; their history stays.
--
-- KEYS   due    zset    {namespace}:due:<queue>
-- ARGV   now    int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   when   string  ms since the epoch, 0 (now) or +ms (from now)
-- ARGV   id...  string  1..1000 ids
-- REPLY  {word...}      revived | expires (its start-by lies before that time: nothing was written) | missing | moved (to
--                       another queue) | the state of a task that is not dead, in order
-- FLAGS  none
-- USES   clock, keys, check, hash, events, stats, fields, decide

local q = keys.open(KEYS[1])
local now = clock.now(q.prefix, ARGV[1])
local due = fields.due_time(ARGV[2], now)
if not due then return redis.error_reply('RS_INVALID 1 due must be ms since the epoch, 0 or +ms') end
if due == 0 then due = now end

local answers = {}
for i = 3, #ARGV do
  local id, key = ARGV[i], q.task .. ARGV[i]
  local found = keys.is_id(id) and hash.read(key, 'state', 'bound', 'conditions', 'frozen', 'expires_at', 'reason')
  local state = found and hash.state_of(found[1])
  if state == 'dead' and check.expires_by(found[5], math.max(due, now)) then
    answers[i - 2] = 'expires'
  elseif state == 'dead' then
    redis.call('ZADD', q.due, due, id)
    if string.find(found[2] or '', 'p', 1, true) then   -- its end stopped half-way: some of its links may be left already
      redis.call('HSET', key, 'bound', (string.gsub(found[2], 'p', 't')))
    end
    redis.call('HDEL', key, 'token', 'entry', 'worker', 'started_at', 'finished_at', 'reason', 'cancel_requested',
      'unhandled', 'deferred',
      'begun', 'crashes', 'postponed')
    if found[4] then redis.call('HSET', key, 'begun', 0) end   -- it has run with the items of its digest: they stay its own
    redis.call('HSET', key, 'state', 'scheduled', 'attempt', 0)
    redis.call('ZREM', q.dead, id)
    if found[3] then decide.enter_again(q, id, found[2], now) end
    events.tell(q, 'revived', id)
    stats.count(q, now, 'revived', 1)
    answers[i - 2] = 'revived'
  else
    local is_left = state == 'scheduled' and found[3] and not string.find(found[2] or '', 'p', 1, true)
    if is_left then decide.enter_again(q, id, found[2], now) end   -- a call that stopped half-way may have revived it
    answers[i - 2] = state and (hash.moved_to(state, found[6]) and 'moved' or string.sub(state, 1, 20)) or 'missing'
  end
end
return answers

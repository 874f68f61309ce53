-- requeue: take ids out of the quarantine and schedule them, where their hashes can be read by now.
--
-- KEYS   due    zset    {namespace}:due:<queue>
-- ARGV   now    int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   when   string  ms since the epoch, 0 (now) or +ms (from now)
-- ARGV   id...  string  1..1000 ids
-- REPLY  {word...}      requeued | missing (not in the quarantine) | no hash | wrong type: both stay there | expires (its
--                       start-by lies before that time: it stays there) | the state of a task that has a place: it only
--                       leaves the quarantine, in order
-- FLAGS  none
-- USES   clock, keys, check, hash, events, stats, fields

local q = keys.open(KEYS[1])
local now = clock.now(q.prefix, ARGV[1])
local due = fields.due_time(ARGV[2], now)
if not due then return redis.error_reply('RS_INVALID 1 due must be ms since the epoch, 0 or +ms') end
if due == 0 then due = now end

local REASONS = {'missing', 'wrong type', 'bad time', 'malformed'}   -- an id of no form can never be a task's
local function members_of(id)
  local members, there = {}, false
  for i, reason in ipairs(REASONS) do members[i] = reason .. ':' .. id end
  for _, score in ipairs(redis.call('ZMSCORE', q.quarantine, unpack(members))) do there = there or score end
  return there and members
end

local function requeue_one(id)
  local members = keys.is_id(id) and members_of(id)
  if not members then return 'missing' end
  local found, why = hash.read(q.task .. id, 'state', 'expires_at')
  if not found then return why == 'missing' and 'no hash' or why end
  local state, answer = hash.state_of(found[1]), 'requeued'
  if state ~= 'scheduled' or redis.call('ZSCORE', q.due, id) then
    answer = string.sub(state, 1, 20)
  elseif check.expires_by(found[2], math.max(due, now)) then
    return 'expires'
  else
    redis.call('ZADD', q.due, due, id)
    events.tell(q, 'requeued', id)
    stats.count(q, now, 'requeued', 1)
  end
  redis.call('ZREM', q.quarantine, unpack(members))     -- last: a stop before it repeats
  return answer
end

local answers = {}
for i = 3, #ARGV do answers[i - 2] = requeue_one(ARGV[i]) end
return answers

-- settle: end up to 1000 claims, each as its worker says; a claim that is no longer the worker's is left alone.
--
-- KEYS   due...   zset    {namespace}:due:<queue>, one per queue
-- ARGV   now      int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   claim... words   for each: number of its queue in KEYS, id, token, outcome, and three words of the outcome:
--                         complete: result (JSON or empty), '', ''  · retry: delay (ms; empty: the task's policy), error, traceback
--                         snooze: delay (ms), '', ''                · return: '' (no handler has begun: ready again at once)
--                         or unhandled (after 5 s, doubling to 60 s), '', ''                 · dead: reason, error, traceback · cancelled: reason, '', ''
-- REPLY  {word...}        what the task is now: completed | scheduled | ready | expired | dead | cancelled;
--                         or already (this claim was settled before) | lost (not this worker's any more): nothing was written;
--                         error RS_INVALID <claim, from 1> outcome <why> before anything is written
-- FLAGS  allow-oom
-- USES   clock, keys, check, hash, errors, stats, memory, endings, settle

local queues = keys.open_all(KEYS)
local now = clock.now(queues[1].prefix, ARGV[1])
local numbered = {}                                     -- a queue by the word that gives its number
for at = 2, #ARGV, 7 do
  local number = ARGV[at]
  numbered[number] = numbered[number] or queues[tonumber(number) or 0]
  if not (numbered[number] and settle.OUTCOMES[ARGV[at + 3]] and ARGV[at + 6]) then
    return redis.error_reply('RS_INVALID ' .. (at + 5) / 7 .. ' outcome must be complete, retry, snooze, return, dead or cancelled')
  end
end
memory.drain(queues[1])

local stamp, usual = clock.text(now), clock.text(now + endings.KEEP_FINISHED)   -- converting a number is slow
local answers, done, seen = {}, {}, {}
for at = 2, #ARGV, 7 do
  local q, id, token, outcome = numbered[ARGV[at]], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local key = q.task .. id
  -- an id outside the grammar has no task
  local found = hash.of_reply(key, redis.pcall('HMGET', key, 'state', 'token', 'retention_ms', 'keep', 'bound'))
  local n = #answers + 1
  if not found or found[2] ~= token then
    answers[n] = 'lost'
  elseif found[1] ~= 'running' or seen[key] then
    answers[n] = 'already'
  elseif outcome == 'complete' then
    seen[key] = true
    local list = done[q] or {finished = {}, ids = {}, kept = {}, from = {}, bound = {}}
    done[q] = list
    answers[n] = 'completed'
    local keep = found[3] and check.field_number('retention_ms', found[3]) or endings.KEEP_FINISHED
    if found[5] then keep = math.max(keep, endings.KEEP_LINKED) end
    local i = #list.ids + 1
    list.bound[i] = found[5]
    list.ids[i], list.kept[i], list.from[i] = id, keep > 0 and (found[4] == '1' and 'whole' or 'part'), at
    if keep > 0 then
      list.finished[#list.finished + 1] = keep == endings.KEEP_FINISHED and usual or clock.text(now + keep)
      list.finished[#list.finished + 1] = id
    end
  else
    answers[n] = settle.apply(q, id, now, outcome, ARGV[at + 4], ARGV[at + 5], ARGV[at + 6])
    redis.call('ZREM', q.running, id)
  end
end

for q, list in pairs(done) do
  if #list.finished > 0 then redis.call('ZADD', q.finished, unpack(list.finished)) end
  errors.for_each(#list.ids, 1, function(i)
    settle.complete(q, list.ids[i], stamp, list.kept[i], ARGV[list.from[i] + 4], list.bound[i])
  end, function(i, trouble)                             -- its links cannot be left: it has ended all the same
    if errors.cause(q, trouble) ~= 'own' then error(trouble, 0) end
    redis.call('HSET', q.task .. list.ids[i], 'state', 'completed', 'finished_at', stamp)
  end)
  redis.call('ZREM', q.running, unpack(list.ids))
  stats.count(q, now, 'completed', #list.ids)
end
return answers

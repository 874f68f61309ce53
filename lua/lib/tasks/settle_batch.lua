-- settle_batch: end many claims, each as its worker says. Plain tasks that complete are written together.
--
-- USES  clock, check, hash, errors, stats, endings, settle

local WORDS = 7                                         -- of a claim: number of its queue, id, token, outcome and its three

-- The queues by the words that give their numbers in args[first..last]; else nil and the error that says which claim is wrong.
function settle_batch.numbered(queues, args, first, last)
  local numbered = {}
  for at = first, last, WORDS do
    local number = args[at]
    numbered[number] = numbered[number] or queues[tonumber(number) or 0]
    if not (numbered[number] and settle.OUTCOMES[args[at + 3]] and args[at + 6]) then
      return nil, redis.error_reply('RS_INVALID ' .. (at - first) / WORDS + 1
        .. ' outcome must be complete, retry, snooze, return, dead or cancelled')
    end
  end
  return numbered
end

-- Answers a word for each claim of args[first..last], as the verb settle's REPLY says.
function settle_batch.apply(numbered, now, args, first, last)
  local stamp, usual = clock.text(now), clock.text(now + endings.KEEP_FINISHED)   -- converting a number is slow
  local answers, done, seen = {}, {}, {}
  for at = first, last, WORDS do
    local q, id, token, outcome = numbered[args[at]], args[at + 1], args[at + 2], args[at + 3]
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
      answers[n] = settle.apply(q, id, now, outcome, args[at + 4], args[at + 5], args[at + 6])
      redis.call('ZREM', q.running, id)
    end
  end

  for q, list in pairs(done) do
    if #list.finished > 0 then redis.call('ZADD', q.finished, unpack(list.finished)) end
    errors.for_each(#list.ids, 1, function(i)
      settle.complete(q, list.ids[i], stamp, list.kept[i], args[list.from[i] + 4], list.bound[i])
    end, function(i, trouble)                           -- its links cannot be left: it has ended all the same
      if errors.cause(q, trouble) ~= 'own' then error(trouble, 0) end
      redis.call('HSET', q.task .. list.ids[i], 'state', 'completed', 'finished_at', stamp)
    end)
    redis.call('ZREM', q.running, unpack(list.ids))
    stats.count(q, now, 'completed', #list.ids)
  end
  return answers
end

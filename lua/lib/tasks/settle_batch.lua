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
  local answers, done, seen, n = {}, {}, {}, 0
  for at = first, last, WORDS do
    local q, id, token, outcome = numbered[args[at]], args[at + 1], args[at + 2], args[at + 3]
    local key = q.task .. id
    -- an id outside the grammar has no task
    local found = hash.of_reply(key, redis.pcall('HMGET', key, 'state', 'token', 'retention_ms', 'keep', 'bound'))
    n = n + 1
    if not found or found[2] ~= token then
      answers[n] = 'lost'
    elseif found[1] ~= 'running' or seen[key] then
      answers[n] = 'already'
    elseif outcome == 'complete' then
      seen[key] = true
      local list = done[q]
      if not list then
        list = {n = 0, finished = {}, ids = {}, from = {}, kept = {}, bound = {}}
        done[q] = list
      end
      answers[n] = 'completed'
      local i, ends, kept = list.n + 1, usual, 'part'
      if found[3] or found[4] or found[5] then
        local keep = found[3] and check.field_number('retention_ms', found[3]) or endings.KEEP_FINISHED
        if found[5] then keep = math.max(keep, endings.KEEP_LINKED) end
        ends, kept = keep > 0 and clock.text(now + keep), keep > 0 and (found[4] == '1' and 'whole' or 'part')
        list.bound[i] = found[5]
      end
      list.n, list.ids[i], list.from[i], list.kept[i] = i, id, at, kept
      if ends then
        local finished = list.finished
        local last = #finished
        finished[last + 1], finished[last + 2] = ends, id
      end
    else
      answers[n] = settle.apply(q, id, now, outcome, args[at + 4], args[at + 5], args[at + 6])
      redis.call('ZREM', q.running, id)
    end
  end

  for q, list in pairs(done) do
    if #list.finished > 0 then redis.call('ZADD', q.finished, unpack(list.finished)) end
    local ids, kept, from, bound = list.ids, list.kept, list.from, list.bound
    errors.for_each(list.n, 1, function(i)
      settle.complete(q, ids[i], stamp, kept[i], args[from[i] + 4], bound[i])
    end, function(i, trouble)                           -- its links cannot be left: it has ended all the same
      if errors.cause(q, trouble) ~= 'own' then error(trouble, 0) end
      redis.call('HSET', q.task .. ids[i], 'state', 'completed', 'finished_at', stamp)
    end)
    redis.call('ZREM', q.running, unpack(ids))
    stats.count(q, now, 'completed', list.n)
  end
  return answers
end

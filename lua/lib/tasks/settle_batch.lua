-- settle_batch: end many claims, each as its worker says. Plain tasks that complete are written together.
--
-- USES  clock, check, hash, errors, stats, endings, settle

settle_batch.MOST_LONG = 64                             -- claims of one call that may be entered in much
local WORDS = 7                                         -- of a claim: number of its queue, id, token, outcome and its three

-- The queues by the words that give their numbers in args[first..last]; else nil and the error that says which claim is wrong.
function settle_batch.numbered(queues, args, first, last)
  local numbered, number, outcome = {}, nil, nil        -- of the claim before: mostly those of the next as well
  for at = first, last, WORDS do
    if args[at] ~= number or args[at + 3] ~= outcome or not args[at + 6] then
      number, outcome = args[at], args[at + 3]
      numbered[number] = queues[tonumber(number) or 0]
      if not (numbered[number] and settle.OUTCOMES[outcome] and args[at + 6]) then
        return nil, redis.error_reply('RS_INVALID ' .. (at - first) / WORDS + 1
          .. ' outcome must be complete, retry, snooze, return, dead or cancelled')
      end
    end
  end
  return numbered
end

-- When a completed task may be removed (ms as text; false: at once), and what stays of it: whole, part or false. found: what
-- settle has read of it.
local function kept_until(now, found)
  local keep = found[3] and check.field_number('retention_ms', found[3]) or endings.KEEP_FINISHED
  if found[5] then keep = math.max(keep, endings.KEEP_LINKED) end
  if keep == 0 then return false, false end
  return clock.text(now + keep), found[4] == '1' and 'whole' or 'part'
end

-- Complete the tasks of a queue. list: their ids, and the keys of those that are plain; others has one table for each other.
local function complete_all(q, list, now, stamp)
  local plain, others = list.plain, list.others
  if #list.finished > 0 then redis.call('ZADD', q.finished, unpack(list.finished)) end
  for i = 1, #plain do settle.complete_plain(plain[i], stamp) end
  errors.for_each(#others, 1, function(i)
    local one = others[i]
    settle.complete(q, one.id, stamp, one.kept, one.result, one.bound)
  end, function(i, trouble)                             -- its links cannot be left: it has ended all the same
    if errors.cause(q, trouble) ~= 'own' then error(trouble, 0) end
    redis.call('HSET', q.task .. others[i].id, 'state', 'completed', 'finished_at', stamp)
  end)
  redis.call('ZREM', q.running, unpack(list.ids))
  stats.count(q, now, 'completed', #list.ids)
end

-- Answers a word for each claim of args[first..last], as the verb settle's REPLY says. most: of the claims that take long;
-- the word of each that follows them is later. nil: all are settled.
function settle_batch.apply(numbered, now, args, first, last, most)
  local stamp, usual = clock.text(now), clock.text(now + endings.KEEP_FINISHED)   -- converting a number is slow
  local answers, done, seen, n, long = {}, {}, {}, 0, 0
  local q, list, ids, finished, plain = nil, nil, nil, nil, nil   -- of the queue whose task was completed last
  for at = first, last, WORDS do
    if long == most then break end
    local own, id = numbered[args[at]], args[at + 1]
    local key, outcome = own.task .. id, args[at + 3]
    -- an id outside the grammar has no task
    local found = redis.pcall('HMGET', key, 'state', 'token', 'retention_ms', 'keep', 'bound')
    n = n + 1
    if found[2] ~= args[at + 2] then
      hash.of_reply(key, found)                         -- raises what is no fault of this task
      answers[n] = 'lost'
    elseif found[1] ~= 'running' or seen[key] then
      answers[n] = 'already'
    elseif outcome == 'complete' then
      seen[key], answers[n] = true, 'completed'
      if own ~= q then
        q, list = own, done[own] or {finished = {}, ids = {}, plain = {}, others = {}}
        done[q], ids, finished, plain = list, list.ids, list.finished, list.plain
      end
      ids[#ids + 1] = id
      local ends, result = usual, args[at + 4]
      if found[3] or found[4] or found[5] or result ~= '' then
        local kept = nil
        ends, kept = kept_until(now, found)
        if found[5] then long = long + 1 end
        list.others[#list.others + 1] = {id = id, kept = kept, result = result, bound = found[5]}
      else
        plain[#plain + 1] = key
      end
      if ends then finished[#finished + 1], finished[#finished + 2] = ends, id end
    else
      long = long + 1
      answers[n] = settle.apply(own, id, now, outcome, args[at + 4], args[at + 5], args[at + 6])
      redis.call('ZREM', own.running, id)
    end
  end
  for i = n + 1, (last - first + 1) / WORDS do answers[i] = 'later' end
  for of, tasks in pairs(done) do complete_all(of, tasks, now, stamp) end
  return answers
end

-- inbox: make tasks of the entries of an inbox. An entry may have any size, so the work is bounded (see budget).
--
-- USES  budget, clock, keys, errors, events, endings, submission, enqueue

-- bytes of a payload: a producer that may only append is not trusted with more
local LONGEST_RAW = 262144

-- The entry as words of enqueue.
local function words_in(entry, number)
  local words, id, due = {number, '', '0', 0}, nil, nil
  budget.spend(1)
  for i = 1, #entry, 2 do
    if entry[i] == 'id' then id = entry[i + 1]
    elseif entry[i] == 'due' then due = entry[i + 1]
    else
      words[#words + 1] = entry[i]
      words[#words + 1] = entry[i + 1]
      budget.spend(#entry[i + 1] / 8192)
    end
  end
  words[2], words[3], words[4] = id or '', due or '0', (#words - 4) / 2
  return words
end

local function take_one(q, queues, number, entry, now)
  local words = words_in(entry, number)
  local task, field = submission.parse(words, 1, queues, now)
  if task and #task.payload > LONGEST_RAW then task, field = nil, 'payload' end
  local known = task and submission.known_as(task)
  if not task or known == 'conflict' then
    endings.quarantine(q, words[2], now, 'inbox ' .. (field or 'conflict'))
    return 0, 1
  elseif known then
    events.tell(q, 'duplicate', task.id, 'state', 'inbox')
    return 0, 0
  end
  if task.plan and submission.conditions_problem(task, {}, {n = 0}) then
    endings.quarantine(q, words[2], now, 'inbox conditions')
    return 0, 1
  end
  enqueue.create(task, now, clock.text(now))
  return 1, 0
end

-- Make tasks of some entries; answers whether all of them were looked at.
local function take_some(q, queues, number, entries, now)
  local gone = {}
  errors.for_each(#entries, 1, function(i)
    if i > 1 and budget.is_spent() then return true end
    local made, bad = take_one(q, queues, number, entries[i][2], now)
    q.created, q.refused, gone[i] = q.created + made, q.refused + bad, entries[i][1]
  end, function(i, trouble)                             -- if it was made in part, it is a due task, and promote judges it
    local fault, words = errors.cause(q, trouble), words_in(entries[i][2], number)
    if fault == 'everybody' or fault == 'shared' then error(trouble, 0) end
    if not keys.is_id(words[2]) or not redis.call('ZSCORE', q.due, words[2]) then
      endings.quarantine(q, words[2], now, fault == 'denied' and 'inbox denied' or 'inbox conditions')
    end
    q.refused, gone[i] = q.refused + 1, entries[i][1]
  end)
  if #gone > 0 then redis.call('XDEL', q.inbox, unpack(gone)) end   -- after the rest: a stop half-way repeats
  q.taken = q.taken + #gone
  return #gone == #entries
end

-- Take up to `most` entries, only a few at first because they may be large. Answers how many were taken; q counts what
-- became of them.
function inbox.take(q, queues, number, most, now)
  local wanted, all = 2, true
  q.created, q.refused, q.taken = 0, 0, 0
  while all and q.taken < most and not budget.is_spent() do
    wanted = math.min(2 * wanted, 64, most - q.taken)
    local entries = redis.pcall('XRANGE', q.inbox, '-', '+', 'COUNT', wanted)
    if entries.err then
      if not string.find(tostring(entries.err), 'WRONGTYPE', 1, true) then error(entries) end
      return q.taken                                    -- what somebody else keeps there is left alone
    end
    all = take_some(q, queues, number, entries, now) and #entries == wanted
  end
  return q.taken
end

-- inbox: tasks of what producers appended to an inbox. What they append may be of any size: see budget.

local INBOX = {}
local LONGEST_RAW = 262144                              -- bytes of a payload: who may only append is not trusted with more

-- The entry as words of enqueue.
local function words_in(fields, number)
  local words, id, due = {number, '', '0', 0}, nil, nil
  weigh(1)
  for i = 1, #fields, 2 do
    if fields[i] == 'id' then id = fields[i + 1]
    elseif fields[i] == 'due' then due = fields[i + 1]
    else
      words[#words + 1] = fields[i]
      words[#words + 1] = fields[i + 1]
      weigh(#fields[i + 1] / 8192)
    end
  end
  words[2], words[3], words[4] = id or '', due or '0', (#words - 4) / 2
  return words
end

local function take(q, queues, number, fields, now)
  local words = words_in(fields, number)
  local task, field = parse(words, 1, queues, now)
  if task and #task.payload > LONGEST_RAW then task, field = nil, 'payload' end
  local known = task and known_as(task)
  if not task or known == 'conflict' then
    quarantine(q, words[2], now, 'inbox ' .. (field or 'conflict'))
    return 0, 1
  elseif known then
    event(q, 'duplicate', task.id, 'state', 'inbox')
    return 0, 0
  end
  if task.plan and trouble_of(task, {}, {n = 0}) then
    quarantine(q, words[2], now, 'inbox conditions')
    return 0, 1
  end
  create(task, words, now, text(now))
  return 1, 0
end

-- Take some entries; answers whether it came to their end.
local function take_some(q, queues, number, entries, now)
  local gone = {}
  for_each(#entries, 1, function(i)
    if i > 1 and is_over() then return true end
    local made, bad = take(q, queues, number, entries[i][2], now)
    q.created, q.refused, gone[i] = q.created + made, q.refused + bad, entries[i][1]
  end, function(i, trouble)                             -- half made it is a due task, and promote judges it
    local fault, words = whose(q, trouble), words_in(entries[i][2], number)
    if fault == 'everybody' or fault == 'shared' then error(trouble, 0) end
    if not is_id(words[2]) or not redis.call('ZSCORE', q.due, words[2]) then
      quarantine(q, words[2], now, fault == 'denied' and 'inbox denied' or 'inbox conditions')
    end
    q.refused, gone[i] = q.refused + 1, entries[i][1]
  end)
  if #gone > 0 then redis.call('XDEL', q.inbox, unpack(gone)) end   -- after the rest: a stop half-way repeats
  q.taken = q.taken + #gone
  return #gone == #entries
end

-- Up to so many, a few at first, since nobody knows how large they are. Answers how many were taken; q counts what became of them.
function INBOX.take(q, queues, number, most, now)
  local wanted, all = 2, true
  q.created, q.refused, q.taken = 0, 0, 0
  while all and q.taken < most and not is_over() do
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

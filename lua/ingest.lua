-- ingest: make tasks of what producers appended to the inboxes, oldest first, as enqueue would. An entry of an inbox has
-- the fields of a task, its id, and due (ms since the epoch, 0 or +ms; now where it is missing).
--
-- KEYS   due...  zset  {namespace}:due:<queue>, 1..16 queues
-- ARGV   now     int   0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   limit   int   1..500, most entries taken by one call, shared by the queues; bounds how long Redis is held
-- REPLY  {now, created, refused, left, ...}  three numbers per queue: tasks made; entries whose id went into the
--                      quarantine, for a field that cannot be used or an id of another task; entries left
-- FLAGS  allow-oom
-- USES   clock, keys, trouble, event, stats, drain, finish, retry, submit, create

local queues, limit = open_all(KEYS), math.min(tonumber(ARGV[2]), 500)
local now = clock(queues[1].prefix, ARGV[1])
local LONGEST = 262144                                  -- bytes of a payload: who may only append is not trusted with more
drain(queues[1])

-- The entry as words of enqueue.
local function words_of(fields, number)
  local words, id, due = {number, '', '0', 0}, nil, nil
  for i = 1, #fields, 2 do
    if fields[i] == 'id' then id = fields[i + 1]
    elseif fields[i] == 'due' then due = fields[i + 1]
    else
      words[#words + 1] = fields[i]
      words[#words + 1] = fields[i + 1]
    end
  end
  words[2], words[3], words[4] = id or '', due or '0', (#words - 4) / 2
  return words
end

local function take(q, number, fields)
  local words = words_of(fields, number)
  local task, field = parse(words, 1, queues, now)
  if task and #task.payload > LONGEST then task, field = nil, 'payload' end
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

local reply = {now}
for number, q in ipairs(queues) do
  local created, refused, gone = 0, 0, {}
  local entries = limit > 0 and redis.pcall('XRANGE', q.inbox, '-', '+', 'COUNT', limit) or {}
  if entries.err then
    if not string.find(tostring(entries.err), 'WRONGTYPE', 1, true) then error(entries) end
    entries = {}                                        -- what somebody else keeps there is left alone
  end
  for_each(#entries, 1, function(i)
    local made, bad = take(q, number, entries[i][2])
    created, refused, gone[i] = created + made, refused + bad, entries[i][1]
  end, function(i, trouble)                             -- half made it is a due task, and promote judges it
    local fault, words = whose(q, trouble), words_of(entries[i][2], number)
    if fault == 'everybody' or fault == 'shared' then error(trouble, 0) end
    if not is_id(words[2]) or not redis.call('ZSCORE', q.due, words[2]) then
      quarantine(q, words[2], now, fault == 'denied' and 'inbox denied' or 'inbox conditions')
    end
    refused, gone[i] = refused + 1, entries[i][1]
  end)
  count_created(q, now, created)
  tell_aside(q, now)
  if #gone > 0 then redis.call('XDEL', q.inbox, unpack(gone)) end   -- after the rest: a stop half-way repeats
  limit = limit - #gone
  reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = created, refused, #gone > 0 and redis.call('XLEN', q.inbox) or 0
end
return reply

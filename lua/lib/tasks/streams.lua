-- streams: a ready task is one entry of one stream; its hash names the entry as <priority>/<stream id>.
--
-- USES  nothing

streams.PRIORITIES = {'high', 'normal', 'low'}

function streams.of(q, priority)
  if priority == 'normal' then return q.ready end
  return q.ready .. ':' .. priority
end

-- The priorities whose streams may be there. A queue without workers has no stream but its usual one, if none of its tasks has
-- a priority; an error is slower than to ask for them.
function streams.there(q)
  local others = redis.pcall('EXISTS', streams.of(q, 'high'), streams.of(q, 'low'))
  return others == 0 and {'normal'} or streams.PRIORITIES   -- also where a user may not ask
end

-- Add the first entry of a call, which makes the stream with its group if it is not there.
local function add_first(q, stream, ...)
  local entry = redis.call('XADD', stream, 'NOMKSTREAM', '*', ...)
  if not entry then
    redis.call('XGROUP', 'CREATE', stream, 'workers', '0', 'MKSTREAM')
    entry = redis.call('XADD', stream, '*', ...)
  end
  q.grouped = q.grouped or {}
  q.grouped[stream] = true
  return entry
end

-- Whether the stream of priority normal is known to have its group.
function streams.is_open(q) return q.grouped and q.grouped[q.ready] end

-- Add an entry. The caller writes the answer into the field entry of the hash. asked: a claim asks the task's conditions
-- once more.
function streams.add(q, id, priority, asked)
  local stream, entry = priority == 'normal' and q.ready or streams.of(q, priority), nil   -- the usual one first
  if not (q.grouped and q.grouped[stream]) then
    if asked then entry = add_first(q, stream, 'id', id, 'if', '1') else entry = add_first(q, stream, 'id', id) end
  elseif asked then
    entry = redis.call('XADD', stream, '*', 'id', id, 'if', '1')
  else
    entry = redis.call('XADD', stream, '*', 'id', id)
  end
  return priority .. '/' .. entry
end

-- The priority and the stream id of an entry as a hash names it; nothing if the text names no entry.
function streams.parse_entry(entry)
  local priority, at = string.match(entry or '', '^(%a+)/(%d+%-%d+)$')
  if priority == 'high' or priority == 'normal' or priority == 'low' then return priority, at end
end

function streams.remove(q, entry)
  local priority, at = streams.parse_entry(entry)
  if not priority then return end
  local stream = streams.of(q, priority)
  redis.pcall('XDEL', stream, at)
  redis.pcall('XACK', stream, 'workers', at)
end

-- How many consumers the workers of a queue have made to wait for its entries; -1 where this caller may not ask.
function streams.readers(q)
  local found = redis.pcall('XINFO', 'CONSUMERS', q.ready, 'workers')
  if not found.err then return #found end
  local problem = tostring(found.err)
  for _, known in ipairs({'no such key', 'NOGROUP', 'WRONGTYPE'}) do
    if string.find(problem, known, 1, true) then return 0 end
  end
  return -1
end

-- Remove the consumers of a queue that have nothing pending and have not been seen for an hour. Answers how many stay.
function streams.drop_idle_consumers(q)
  local left = 0
  for _, priority in ipairs(streams.PRIORITIES) do
    local stream = streams.of(q, priority)
    local consumers = redis.pcall('XINFO', 'CONSUMERS', stream, 'workers')
    for _, told in ipairs(consumers.err and {} or consumers) do
      local consumer = {}
      for i = 1, #told, 2 do consumer[told[i]] = told[i + 1] end
      if consumer.pending == 0 and consumer.idle > 3600000 then
        redis.call('XGROUP', 'DELCONSUMER', stream, 'workers', consumer.name)
      else
        left = left + 1
      end
    end
  end
  return left
end

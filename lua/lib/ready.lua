-- ready: a ready task is one entry of one stream, which its hash names as <priority>/<stream id>.

local PRIORITIES = {'high', 'normal', 'low'}

local function stream_of(q, priority)
  if priority == 'normal' then return q.ready end
  return q.ready .. ':' .. priority
end

local function make_group(q, stream)
  if q.grouped[stream] then return end
  if redis.call('EXISTS', stream) == 0 then
    redis.call('XGROUP', 'CREATE', stream, 'workers', '0', 'MKSTREAM')
  end
  q.grouped[stream] = true
end

-- Add the entry; the caller writes what it answers to the hash's field entry. asked: its conditions are asked once more
-- when it is claimed.
local function add_entry(q, id, priority, asked)
  local stream = stream_of(q, priority)
  make_group(q, stream)
  if asked then return priority .. '/' .. redis.call('XADD', stream, '*', 'id', id, 'if', '1') end
  return priority .. '/' .. redis.call('XADD', stream, '*', 'id', id)
end

-- The priority and the stream id of an entry as a hash names it; nothing where it is none.
local function is_entry(entry)
  local priority, at = string.match(entry or '', '^(%a+)/(%d+%-%d+)$')
  if priority == 'high' or priority == 'normal' or priority == 'low' then return priority, at end
end

local function drop_entry(q, entry)
  local priority, at = is_entry(entry)
  if not priority then return end
  local stream = stream_of(q, priority)
  redis.pcall('XDEL', stream, at)
  redis.pcall('XACK', stream, 'workers', at)
end

-- Take consumers from the groups of a queue that have nothing pending and have not been seen for an hour. Answers how many stay.
local function drop_idle_consumers(q)
  local left = 0
  for _, priority in ipairs(PRIORITIES) do
    local stream = stream_of(q, priority)
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

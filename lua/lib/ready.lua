-- ready: a ready task is one entry of one stream, which its hash names as <priority>/<stream id>.

local PRIORITIES = {'high', 'normal', 'low'}

local function stream_of(q, priority)
  if priority == 'normal' then return q.ready end
  return q.ready .. ':' .. priority
end

local function group(q, stream)
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
  group(q, stream)
  if asked then return priority .. '/' .. redis.call('XADD', stream, '*', 'id', id, 'if', '1') end
  return priority .. '/' .. redis.call('XADD', stream, '*', 'id', id)
end

local function drop_entry(q, entry)
  local priority, at = string.match(entry or '', '^(%a+)/(%d+%-%d+)$')
  if not priority or not (priority == 'high' or priority == 'normal' or priority == 'low') then return end
  local stream = stream_of(q, priority)
  redis.pcall('XDEL', stream, at)
  redis.pcall('XACK', stream, 'workers', at)
end

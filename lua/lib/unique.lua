-- unique: one task of a key at a time. The lock names the task that holds it and when the first of a series came. A task that
-- was rejected leaves a note beside it for as long as its call may be repeated: it is rejected again, whoever has gone by then.

local KEEP_REJECTED = 60000                             -- ms: longer than clients repeat a call

-- Who counts against a task, when the series began, whether that one only waits, and whether it lives; nil where nobody
-- does. One whose lock another took while it ran counts until it ends.
local function holder_of(q, id, unique)
  local holder, since = string.match(soft('GET', q.unique .. unique.key) or '', '^(%S+) (%d+)$')
  if holder and holder ~= id and is_id(holder) then
    local found = read(q.task .. holder, 'state', 'attempt')
    local state = found and state_of(found[1])
    local waits = state ~= 'running' and LIVE[state or ''] and (found[2] or '0') == '0'
    if unique.release == 'ttl' or waits or LIVE[state or ''] and unique.release ~= 'start' then
      return holder, tonumber(since), waits, LIVE[state or '']
    end
  end
  if unique.release == 'start' or unique.release == 'ttl' or holder == id then return nil end
  holder = first_in_line(q, '~' .. unique.key)
  if holder and holder ~= id then return holder, 0, false, true end
end

-- One that runs, or is to run again, is the first of the line of its unique key: those that keep the last wait for it.
local function stand_first(q, name, id)
  local first = redis.call('ZRANGE', q.line .. name, 0, 0, 'WITHSCORES')
  redis.call('ZADD', q.line .. name, 'NX', text((tonumber(first[2] or '') or 1) - 1), id)
end

local function lock(q, id, unique, since)
  local key, word = q.unique .. unique.key, id .. ' ' .. text(since)
  if unique.release == 'ttl' then
    redis.call('SET', key, word, 'PX', unique.ttl)
  else
    redis.call('SET', key, word)
  end
end

-- Where the note of a rejected task is: no unique key has a space in it.
local function note_of(q, id, unique) return q.unique .. unique.key .. ' ' .. id end

-- Who held the key when a call with this request was rejected; nil where none was.
local function rejected_by(q, id, unique, request)
  local holder, asked = string.match(soft('GET', note_of(q, id, unique)) or '', '^(%S+) (.*)$')
  return asked == request and holder or nil
end

-- Take the lock for a task, or tell who has it: nil and that one. What waits and is to be replaced is cancelled; of a debounced
-- one the due time comes back, so that the longest wait is kept. request: the caller's token, if there is one.
local function make_unique(q, id, unique, due, now, request)
  local mode = unique.mode or 'reject'
  local earlier = mode == 'reject' and request and rejected_by(q, id, unique, request)
  if earlier then return nil, earlier end
  local holder, since, waits, lives = holder_of(q, id, unique)
  if holder and mode == 'reject' then
    if request then redis.call('SET', note_of(q, id, unique), holder .. ' ' .. request, 'PX', KEEP_REJECTED) end
    return nil, holder
  end
  if lives and not waits then stand_first(q, '~' .. unique.key, holder) end
  if holder and waits then stop_task(q, holder, now, 'replaced by ' .. id) end
  if mode == 'debounce' and holder and waits then
    due = math.min(due, since + (unique.longest or 31536000000))
  else
    since = now
  end
  lock(q, id, unique, since)
  return due
end

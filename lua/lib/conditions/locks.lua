-- locks: one task of a unique key at a time. The lock names the task that holds it and when the first of a series came. A
-- task that was rejected leaves a note beside the lock, for as long as its call may be repeated: the repeat is rejected
-- again, even if the key is free by then.
--
-- USES  clock, keys, safe, hash, cancel, links

local KEEP_REJECTED = 60000                             -- ms: longer than clients repeat a call

-- The task that has the unique key, when the series began, whether that task only waits, and whether it is live; nil if no
-- task has the key. A running task counts until it ends, even if another took its lock.
local function holder_of(q, id, unique)
  local holder, since = string.match(safe.call('GET', q.unique .. unique.key) or '', '^(%S+) (%d+)$')
  if holder and holder ~= id and keys.is_id(holder) then
    local found = hash.read(q.task .. holder, 'state', 'attempt')
    local state = found and hash.state_of(found[1])
    local waits = state ~= 'running' and hash.LIVE[state or ''] and (found[2] or '0') == '0'
    if unique.release == 'ttl' or waits or hash.LIVE[state or ''] and unique.release ~= 'start' then
      return holder, tonumber(since), waits, hash.LIVE[state or '']
    end
  end
  if unique.release == 'start' or unique.release == 'ttl' or holder == id then return nil end
  holder = links.first_in_line(q, '~' .. unique.key)
  if holder and holder ~= id then return holder, 0, false, true end
end

-- Make a task that runs, or will run again, the first of the line of its unique key, so that tasks of the mode keep_last
-- wait for it.
local function stand_first(q, name, id)
  local first = redis.call('ZRANGE', q.line .. name, 0, 0, 'WITHSCORES')
  redis.call('ZADD', q.line .. name, 'NX', clock.text((tonumber(first[2] or '') or 1) - 1), id)
end

local function lock(q, id, unique, since)
  local key, word = q.unique .. unique.key, id .. ' ' .. clock.text(since)
  if unique.release == 'ttl' then
    redis.call('SET', key, word, 'PX', unique.ttl)
  else
    redis.call('SET', key, word)
  end
end

-- The key of the note of a rejected task. No unique key has a space in it.
local function note_of(q, id, unique) return q.unique .. unique.key .. ' ' .. id end

-- The task that had the unique key when a call with this request was rejected; nil if none was rejected.
local function rejected_by(q, id, unique, request)
  local holder, asked = string.match(safe.call('GET', note_of(q, id, unique)) or '', '^(%S+) (.*)$')
  return asked == request and holder or nil
end

-- Take the lock for a task. Answers its due time, or nil and the task that has the lock. A waiting task that is to be
-- replaced is cancelled. A debounced task may get an earlier due time, so that the longest wait is kept. request: the
-- caller's token, if there is one.
function locks.take(q, id, unique, due, now, request)
  local mode = unique.mode or 'reject'
  local earlier = mode == 'reject' and request and rejected_by(q, id, unique, request)
  if earlier then return nil, earlier end
  local holder, since, waits, lives = holder_of(q, id, unique)
  if holder and mode == 'reject' then
    if request then redis.call('SET', note_of(q, id, unique), holder .. ' ' .. request, 'PX', KEEP_REJECTED) end
    return nil, holder
  end
  if lives and not waits then stand_first(q, '~' .. unique.key, holder) end
  if holder and waits then cancel.task(q, holder, now, 'replaced by ' .. id) end
  if mode == 'debounce' and holder and waits then
    due = math.min(due, since + (unique.longest or 31536000000))
  else
    since = now
  end
  lock(q, id, unique, since)
  return due
end

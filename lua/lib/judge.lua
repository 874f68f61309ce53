-- judge: what becomes of one due id. Answers whether it leaves due, and whether the task became ready.

-- A second look at an id whose hash is missing is marked by half a millisecond in its score.
local SECOND_LOOK = 0.5
local ELSEWHERE = {held = true, ready = true, running = true, dead = true}   -- or finished

-- told: its score as Redis wrote it.
local function judge(q, id, told, now)
  if not is_id(id) then quarantine(q, id, now, 'bad id') return true end
  local key, usual, score = q.task .. id, #told == 13 and string.find(told, '^[1-3]%d+$'), nil
  if not usual then
    score = tonumber(told)
    if not is_time(math.floor(score)) then quarantine(q, id, now, 'bad time') return true end
  end
  local found, why = readable(key,
    redis.pcall('HMGET', key, 'state', 'type', 'priority', 'expires_at', 'conditions', 'created_at'))
  if usual and found and found[6] and not (found[1] or found[3] or found[4] or found[5]) and is_name(found[2])
      and not stopped_by(q, found[2], id, now) then     -- the short way
    redis.call('HSET', key, 'state', 'ready', 'entry', add_entry(q, id, 'normal'), 'due_at', told)
    return true, true
  end
  score = score or tonumber(told)
  if why == 'missing' and (score == 0 or now - score < 5000) and score % 1 ~= SECOND_LOOK then
    redis.call('ZADD', q.due, 'XX', now + 1000 + SECOND_LOOK, id)   -- HSET may follow ZADD
    return false
  elseif why then
    quarantine(q, id, now, why)
    return true
  end
  local state, priority = state_of(found[1]), found[3] or 'normal'
  if ELSEWHERE[state] or FINISHED[state] then
    event(q, 'duplicate', id, 'state', state)
    return true
  end
  local expires = number_or('expires_at', found[4], 4e12)
  if state ~= 'scheduled' and string.find(state, '^%l+$') and is_made(q, id) then
    postpone(q, id, now)                                -- a state that only a newer redsched knows
    return false
  end
  if state ~= 'scheduled' or not is_name(found[2]) or not PRIORITY[priority] or not expires
      or not found[6] and not is_well_written(q, id) then   -- a raw producer's
    bury(q, id, now, 'malformed')
    return true
  elseif expires <= now then
    if not (found[5] and end_merged(q, id, now)) then expire(q, id, now, redis.call('HGET', key, 'retention_ms')) end
    return true
  end
  local due_at = told                                   -- converting a number is slow
  if score < 1 or not string.find(told, '^%d+$') then due_at = text(score < 1 and now or math.floor(score)) end
  local stop, asked = stopped_by(q, found[2], id, now), nil
  if stop then
    hold_stopped(q, id, stop, due_at, expires)
    return true
  elseif found[5] then
    local ok, leaves, again = pcall(decide, q, id, due_at, now)
    if not ok then                                      -- a key that its conditions name has a wrong type, say
      if whose(q, leaves) ~= 'own' then error(leaves) end
      bury(q, id, now, 'malformed')
      return true
    end
    if leaves ~= nil then return leaves end
    asked = again
  end
  local entry = add_entry(q, id, priority, asked)
  redis.call('HSET', key, 'state', 'ready', 'entry', entry, 'due_at', due_at)
  return true, true
end

local LOOK_EVERY = 500                                  -- ms: asking three streams is much of what an idle call does

-- Entries that were delivered but not claimed within a second: their reader is gone, or lost the reply.
local function recover_pending(q, now)
  if q.recovered_at and now >= q.recovered_at and now - q.recovered_at < LOOK_EVERY then return end
  for _, priority in ipairs(PRIORITIES) do
    local stream = stream_of(q, priority)
    local pending = redis.pcall('XPENDING', stream, 'workers', 'IDLE', 1000, '-', '+', 32)
    for i, held in ipairs(pending.err and {} or pending) do
      if i > 1 and is_over() then return end
      weigh(1)
      local entry = redis.call('XRANGE', stream, held[1], held[1])[1]
      local id = entry and entry[2][2] or ''
      local found = is_id(id) and read(q.task .. id, 'state', 'entry', 'conditions')
      if found and found[1] == 'ready' and found[2] == priority .. '/' .. held[1] then
        redis.call('HSET', q.task .. id, 'entry', add_entry(q, id, priority, found[3]))
      end
      redis.call('XDEL', stream, held[1])
      redis.call('XACK', stream, 'workers', held[1])
    end
  end
  q.recovered_at = now                                  -- not where it stopped before its end
end

-- fate: what becomes of many listeners at once, whom an event alone decides: cancelled, or released.

local FATE = {}

-- Their listeners stay until all is written: who stops half-way tells them once more.
FATE.cancel = function(q, name, tasks, now)
  local scores, ids, members = {}, {}, {}
  for i, task in ipairs(tasks) do
    local keep = number_or('retention_ms', task.retention, KEEP_FINISHED) or KEEP_FINISHED
    scores[2 * i - 1], scores[2 * i] = text(now + math.max(keep, KEEP_TIED)), task.id
    ids[i], members[i] = task.id, q.name .. '/' .. task.id
  end
  redis.call('ZADD', q.finished, unpack(scores))
  for _, id in ipairs(ids) do
    redis.call('HSET', q.task .. id, 'state', 'cancelled', 'finished_at', text(now), 'reason', 'event ' .. name)
    event(q, 'cancelled', id)
  end
  count(q, now, 'cancelled', #ids)
  redis.call('ZREM', q.due, unpack(ids))
  redis.call('ZREM', q.prefix .. 'listeners:' .. name, unpack(members))
end

-- Whether nothing is left to be decided, and it is due: then promote need not look at it.
local function runs_now(q, task, now)
  if not task.only_waits or task.due > now or not is_name(task.type) or not PRIORITY[task.priority] then return false end
  local expires = number_or('expires_at', task.expires_at, 4e12)
  return expires and expires > now and not stopped_by(q, task.type, task.id, now)
end

FATE.release = function(q, _, tasks, now)
  local scores, ids, ready = {}, {}, 0
  for i, task in ipairs(tasks) do
    task.due, ids[i] = due_again('facts', task.due_at, task.delay, now), task.id
    task.runs = runs_now(q, task, now)
    if not task.runs then scores[#scores + 1], scores[#scores + 2] = text(task.due), task.id end
  end
  if #scores > 0 then redis.call('ZADD', q.due, unpack(scores)) end
  for _, task in ipairs(tasks) do
    local id, due = task.id, text(task.due)
    if task.runs then
      local entry = add_entry(q, id, task.priority)
      redis.call('HSET', q.task .. id, 'state', 'ready', 'entry', entry, 'due_at', due, 'heard', 1, 'blocked', '',
        'delay_ms', '')
      ready = ready + 1
    else
      redis.call('HSET', q.task .. id, 'state', 'scheduled', 'heard', 1, 'blocked', '', 'delay_ms', '')
    end
    redis.call('HDEL', q.task .. id, 'blocked', 'delay_ms')
    event(q, 'released', id, 'after', 'facts', 'due', due)
  end
  count(q, now, 'promoted', ready)
  redis.call('ZREM', q.held, unpack(ids))
end

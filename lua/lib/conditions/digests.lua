-- digests: tasks of one key that become one. They wait together in the order in which they came. The first is due when the
-- digest closes; the others are held. A digest has a name of its own, <task that opened it>/<ms>: its first task may end
-- without running, and then the next takes its place. Each task of a digest has that name in its field into, and d in bound.
--
-- USES  budget, clock, check, safe, hash, json, reminders, holds

function digests.has(bound) return bound and string.find(bound, 'd', 1, true) ~= nil end

-- The task whose run has all items; nil if there is none yet. After it was removed, another may have its id.
function digests.started_by(q, name)
  local told = safe.call('HMGET', q.items .. name, ':started', ':removed') or {}
  local starter = told[1]
  if starter and told[2] then return starter end
  local found = starter and hash.read(q.task .. starter, 'state', 'frozen')
  if not starter or found and not found[2] and hash.LIVE[hash.state_of(found[1])] then return nil end
  return starter
end

-- The task whose run has the item of this one.
function digests.merged_into(q, id)
  local name = redis.call('HGET', q.task .. id, 'into')
  local starter = name and safe.call('ZSCORE', q.digest_members .. name, id) and digests.started_by(q, name)
  return starter ~= id and starter or nil
end

function digests.remove(q, name, id)
  redis.call('ZREM', q.digest_members .. name, id)      -- first: an item without a member does not count
  safe.call('HINCRBY', q.items .. name, ':bytes', 0 - (safe.call('HSTRLEN', q.items .. name, id) or 0))
  safe.call('HDEL', q.items .. name, id)
end

-- The first task from a rank on that may still run; nil if there is none. Those that may not run leave the digest.
function digests.first(q, name, rank)
  for _ = 1, 100 do
    local first = (safe.call('ZRANGE', q.digest_members .. name, rank or 0, rank or 0) or {})[1]
    local found = first and hash.read(q.task .. first, 'state')
    if not first or found and hash.LIVE[hash.state_of(found[1])] then return first end
    digests.remove(q, name, first)
  end
end

-- The run of a digest has ended: have the mover end the other tasks.
function digests.end_others(q, id)
  local name = redis.call('HGET', q.task .. id, 'into')
  if name then reminders.add(q.prefix, 'digest/' .. q.name .. '/' .. name, 0) end
end

-- Note that a task that was in a digest is removed.
function digests.forget(q, name, id)
  if safe.call('HGET', q.items .. name, ':started') == id then redis.call('HSET', q.items .. name, ':removed', 1) end
end

-- Remove a digest.
function digests.drop(q, name)
  local key = safe.call('HGET', q.items .. name, ':key')
  if key and safe.call('GET', q.digest .. key) == name then redis.call('UNLINK', q.digest .. key) end
  redis.call('UNLINK', q.digest_members .. name, q.items .. name)
  redis.call('ZREM', q.prefix .. 'agenda', 'digest/' .. q.name .. '/' .. name)
end

-- Make a task the first of its digest: it is not held but due, and closes the digest then.
function digests.lead(q, id, due, now)
  local found = hash.read(q.task .. id, 'state', 'blocked')
  if not found or found[1] ~= 'held' or found[2] ~= 'digest' then return end
  redis.call('HSET', q.task .. id, 'due_at', clock.text(due))
  holds.release(q, id, now)
end

-- Put the next task in the place of the first: it is due when the digest was to close.
local function hand_over(q, name, id, now)
  local heir = digests.first(q, name, 1)
  if not heir then return end
  local due = tonumber(redis.call('ZSCORE', q.due, id) or redis.call('HGET', q.task .. id, 'due_at') or '') or now
  due = check.is_time(due) and math.max(due, now) or now
  safe.call('HDEL', q.items .. name, ':judged', ':started')
  redis.call('ZADD', q.due, 'XX', 'LT', clock.text(due), heir)   -- also a task that was given a due time of its own
  digests.lead(q, heir, due, now)
end

-- Whether the task with all items was claimed, but its worker has not said that the handler has begun.
function digests.is_unbegun(q, id)
  local found = hash.read(q.task .. id, 'state', 'begun')
  return found and not found[2] and hash.LIVE[hash.state_of(found[1])]
end

-- Give a task its own payload back after a claim without a run.
local function take_own(q, name, id)
  local own = safe.call('HGET', q.items .. name, ':own')
  if own then redis.call('HSET', q.task .. id, 'payload', own) end
  redis.call('HDEL', q.task .. id, 'frozen')
end

-- Undo a claim of all items whose handler has not begun: the tasks of the digest are judged anew before it runs. Answers
-- whether it was such a claim. An earlier call that stopped half-way may have undone a part of it.
function digests.take_back(q, id)
  local name = redis.call('HGET', q.task .. id, 'into')
  if not name or not safe.call('ZSCORE', q.digest_members .. name, id) then return false end
  local starter = digests.started_by(q, name)
  if starter and (starter ~= id or not digests.is_unbegun(q, id)) then return false end
  redis.call('HDEL', q.items .. name, ':judged')
  take_own(q, name, id)
  redis.call('HDEL', q.items .. name, ':started', ':own')
  return true
end

-- Take a task and its item out of its digest, before the task ends or goes on alone. If the digest's handler has begun, the
-- items stay: they are in its run, and the mover takes the tasks out when they have ended. A dead letter keeps its items,
-- too.
function digests.leave(q, id, now, is_dead)
  local name = redis.call('HGET', q.task .. id, 'into')
  if not name or not safe.call('ZSCORE', q.digest_members .. name, id) then return end
  local starter = digests.started_by(q, name)
  if starter and (is_dead or starter ~= id or not digests.is_unbegun(q, id)) then return end
  if starter then take_own(q, name, id) end
  if digests.first(q, name) == id then hand_over(q, name, id, now) end   -- first: if this stops half-way, it is repeated
  if redis.call('ZSCORE', q.held, id) then              -- if this stops half-way, its hold ends now: it is judged anew
    reminders.add(q.prefix, 'hold/' .. q.name, now)
    redis.call('ZADD', q.held, 'XX', clock.text(now), id)
  end
  digests.remove(q, name, id)
  if redis.call('ZCARD', q.digest_members .. name) == 0 then digests.drop(q, name) end
end

-- The task into which this one is merged; nil if that is the task itself, or it is in no digest.
function digests.opener_of(q, id)
  local found = hash.read(q.task .. id, 'into', 'reason')
  if not found then return nil end
  local first = found[1] and safe.call('ZSCORE', q.digest_members .. found[1], id)
    and safe.call('ZRANGE', q.digest_members .. found[1], 0, 0)[1]
  if first then return first ~= id and first or nil end
  return string.match(found[2] or '', '^merged into (.*)$')
end

-- The payload of a digest, {"items": [...]} in the order in which its tasks came, and its name. A task that is not the first
-- of a digest gets its own item alone. Tasks whose start-by has passed are left out; the end of their hold says when that
-- is.
function digests.payload(q, id, f, now)
  local items, ids = {}, f.into and safe.call('ZRANGE', q.digest_members .. f.into, 0, -1) or {}
  if ids[1] ~= id then ids = {} end
  budget.spend(#ids / 4)
  for at = 1, #ids, 500 do
    local last = math.min(at + 499, #ids)
    local page = redis.call('HMGET', q.items .. f.into, unpack(ids, at, last))
    local ends = redis.call('ZMSCORE', q.held, unpack(ids, at, last))
    for i = 1, last - at + 1 do
      local past = tonumber(ends[i] or redis.call('HGET', q.task .. ids[at + i - 1], 'expires_at') or '') or holds.NO_END
      if past > now then items[#items + 1] = page[i] or nil
      else
        digests.leave(q, ids[at + i - 1], now)
        holds.release(q, ids[at + i - 1], now)          -- promote ends it
      end
    end
  end
  if #items == 0 then items[1] = json.from_text(f.payload or 'null') end
  return '{"items":[' .. table.concat(items, ',') .. ']}', ids[1] and f.into or false
end

-- Before the task with all items runs: from here on the items are in that run, and the mover ends the other tasks. The
-- task's own payload is kept, for the case that the handler never begins.
function digests.start(q, id, name, now)
  if not name then return digests.leave(q, id, now) end
  redis.call('HSET', q.items .. name, ':started', id, ':own', redis.call('HGET', q.task .. id, 'payload') or '')
  reminders.add(q.prefix, 'digest/' .. q.name .. '/' .. name, 0)
end

-- removal: take finished and dead tasks out of a queue, those whose retention has ended and the oldest beyond its caps.
--
-- USES  budget, clock, check, hash, errors, caps, index, forgotten, endings

local A_PAGE = 128

-- Remove a task that others may learn of, even if a key that it is entered in cannot be used. gone: keys that the caller unlinks.
local function forget(q, id, now, state, bound, gone)
  local ok, trouble = pcall(endings.forget, q, id, now, state, bound, gone)
  if not ok and errors.cause(q, trouble) ~= 'own' then error(trouble, 0) end
end

-- When a task ended, ms; 0 if its hash does not say so.
local function ended_at(key) return check.whole(redis.call('HGET', key, 'finished_at') or '', 1e11, 4e12) or 0 end

-- ends: the states that may be removed. young: how many at the head of the set are too young for its cap. Answers how many
-- ids there were, how many left the set, how many tasks were removed, how many are young, and whether it stopped early.
local function sweep_page(q, now, name, wanted, young, ends, most_forgotten)
  local set = q[name]
  local ids = redis.call('ZRANGE', set, '-inf', clock.text(now), 'BYSCORE', 'LIMIT', '0', clock.text(wanted))
  local in_time = #ids
  local extra = in_time < wanted and math.min(caps.beyond(q, name), wanted) or 0   -- a full page leaves no room for others
  if extra > in_time then ids = redis.call('ZRANGE', set, young, young + extra - 1) end
  if #ids == 0 then return 0, 0, 0, young, false end
  if q.indexed == nil then q.indexed = index.is_used(q) end
  local due = redis.call('ZMSCORE', q.due, unpack(ids))
  local is_made, is_indexed = forgotten.is_made, q.indexed
  local gone, names, leaving, left, n, evicted, kept, unspent, stopped, bound = {}, {}, {}, 0, 0, 0, 0, 0, false, nil
  for i = 1, #ids do
    if unspent >= 4 or bound then                       -- the budget is not asked after each plain task
      budget.spend(unspent)
      unspent, stopped = 0, budget.is_spent()
      if stopped then break end
    end
    unspent = unspent + 1
    local id = ids[i]
    local key = q.task .. id
    local found                                         -- an id outside the grammar has no task
    if is_indexed then
      found = redis.pcall('HMGET', key, 'state', 'bound', 'tags', 'key')
    else
      found = redis.pcall('HMGET', key, 'state', 'bound')
    end
    local over, ended = ends[found[1]], nil
    bound = found[2]
    if over and i > in_time then ended = ended_at(key) end   -- it goes because of the cap
    if over and due[i] then                             -- somebody put it into due: promote tells that, then it is removed
      redis.call('ZADD', set, 'XX', now + endings.KEEP_FINISHED, id)
    elseif ended and caps.is_young(name, ended, now) then
      young = young + 1
    else
      left = left + 1
      leaving[left] = id
      local made = is_made(id)
      if over and not made then names[#names + 1] = id end
      if ended then evicted, kept = evicted + 1, ended > 0 and now - ended or kept end
      if over and bound then
        n = n + 1
        forget(q, id, now, found[1], bound, gone)
      elseif over then
        n = n + 1
        index.remove(q, id, found[3], found[4])
        gone[#gone + 1], gone[#gone + 2] = key, q.outcome .. id
      else                                              -- a task that is live again only leaves the set
        hash.of_reply(key, found)                       -- raises what is no fault of this task
      end
    end
  end
  budget.spend(unspent)
  forgotten.add(q, names, now, most_forgotten)
  if #gone > 0 then redis.call('UNLINK', unpack(gone)) end
  if left > 0 then redis.call('ZREM', set, unpack(leaving)) end
  caps.tell_evicted(q, now, name, evicted, kept)
  return #ids, left, n, young, stopped
end

-- Sweep one set, finished or dead, as far as limit and the budget allow. Answers how many tasks were removed, and whether
-- nothing that can be removed now is left. most_forgotten: see forgotten.
function removal.sweep_set(q, name, ends, limit, now, most_forgotten)
  local looked, left, removed, young, stopped = 0, 0, 0, 0, false
  repeat
    local wanted, before, found, gone, n = math.min(A_PAGE, limit - looked), young, nil, nil, nil
    found, gone, n, young, stopped = sweep_page(q, now, name, wanted, young, ends, most_forgotten)
    looked, left, removed = looked + found, left + gone, removed + n
    if not stopped and (found < wanted or gone == 0 and young == before) then return removed, true end
  until looked >= limit or budget.is_spent()
  return removed, left == 0 and not stopped
end

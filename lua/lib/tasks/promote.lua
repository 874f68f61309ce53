-- promote: look at what is due in a queue, in bounded pieces, and decide what becomes of each id.
--
-- USES  budget, clock, keys, check, safe, hash, errors, events, streams, index, endings, isolation, cancel, fields
-- USES  type_defaults, newer_version, pauses, plain_due, decide

-- An id whose hash is missing is looked at twice. Half a millisecond in its score marks the second look.
local SECOND_LOOK = 0.5
local ELSEWHERE = {held = true, ready = true, running = true, dead = true}   -- or finished

-- Decide what becomes of one due id. Answers whether it leaves due, and whether the task became ready. told: its score as
-- Redis wrote it.
function promote.judge(q, id, told, now)
  if not keys.is_id(id) then endings.quarantine(q, id, now, 'bad id') return true end
  local key, usual, score = q.task .. id, #told == 13 and string.find(told, '^[1-3]%d+$'), nil
  if not usual then
    score = tonumber(told)
    if not check.is_time(math.floor(score)) then endings.quarantine(q, id, now, 'bad time') return true end
  end
  local found, why = hash.of_reply(key,
    redis.pcall('HMGET', key, 'state', 'type', 'priority', 'expires_at', 'conditions', 'created_at'))
  if usual and found and found[6] and not (found[1] or found[3] or found[4] or found[5]) and keys.is_name(found[2])
      and (q.stops == false or not pauses.by(q, found[2], id, now)) then   -- the short way; false: nothing is paused
    redis.call('HSET', key, 'state', 'ready', 'entry', streams.add(q, id, 'normal'), 'due_at', told)
    return true, true
  end
  score = score or tonumber(told)
  if why == 'missing' and (score == 0 or now - score < 5000) and score % 1 ~= SECOND_LOOK then
    redis.call('ZADD', q.due, 'XX', now + 1000 + SECOND_LOOK, id)   -- HSET may follow ZADD
    return false
  elseif why then
    endings.quarantine(q, id, now, why)
    return true
  end
  local state, priority = hash.state_of(found[1]), found[3] or 'normal'
  if ELSEWHERE[state] or hash.FINISHED[state] then
    events.tell(q, 'duplicate', id, 'state', state)
    return true
  end
  local given = not found[6] and state == 'scheduled' and keys.is_name(found[2]) and type_defaults.fill_raw(q, id, found[2],
    score < 1 and now or math.floor(score))             -- a raw producer's task
  local expires = check.number_or('expires_at', found[4] or given or nil, 4e12)
  if state ~= 'scheduled' and string.find(state, '^%l+$') and newer_version.is_made(q, id) then
    newer_version.postpone(q, id, now)                  -- a state that only a newer redsched knows
    return false
  end
  local raw = not found[6] and fields.of_raw(q, id)     -- a raw producer's task
  if raw then index.add(q, id, raw.tags, raw.key) end
  if state ~= 'scheduled' or not keys.is_name(found[2]) or not check.PRIORITIES[priority] or not expires
      or raw and not fields.are_usable(raw) then
    endings.dead(q, id, now, 'malformed')
    return true
  elseif expires <= now then
    if not (found[5] and cancel.end_merged(q, id, now)) then
      endings.expire(q, id, now, redis.call('HGET', key, 'retention_ms'))
    end
    return true
  end
  local due_at = told                                   -- converting a number is slow
  if score < 1 or not string.find(told, '^%d+$') then due_at = clock.text(score < 1 and now or math.floor(score)) end
  local stop, asked = pauses.by(q, found[2], id, now), nil
  if stop then pauses.hold(q, id, stop, due_at, expires) return true end
  if found[5] then
    local ok, leaves, again = pcall(decide.task, q, id, due_at, now)
    if not ok then                                      -- a key that its conditions name has a wrong type, say
      if errors.cause(q, leaves) ~= 'own' then error(leaves) end
      endings.dead(q, id, now, 'malformed')
      return true
    end
    if leaves ~= nil then return leaves end
    asked = again
  end
  local entry = streams.add(q, id, priority, asked)
  redis.call('HSET', key, 'state', 'ready', 'entry', entry, 'due_at', due_at)
  return true, true
end

local CONDITIONS_WEIGH = 8                              -- times the work of a task without conditions

local function without(ids, some)
  local found = {}
  for _, id in ipairs(ids) do
    if not some[id] then found[#found + 1] = id end
  end
  return found
end

-- Judge a page of due ids as far as the work allows; answers how much work it was. An id that fails by its own fault is set
-- aside. An id that this caller may not judge stays in due, and so do all if the fault is the queue's.
function promote.judge_page(q, due, most, now)
  if #due == 0 then return 0 end
  local left, planned, unspent, seen = {}, q.planned, 0, q.seen
  local plain = plain_due.make_ready(q, due, left)
  local n, work, stops = plain, plain, plain > 0 and budget.is_spent()
  q.looked, q.ready_now = true, q.ready_now + plain

  local function spend()                                -- of the id that was looked at
    local more = 1 + (CONDITIONS_WEIGH - 1) * (q.planned - planned)
    planned, work, unspent = q.planned, work + more, unspent + more
  end

  errors.for_each(#due - 2 * plain, 2, function(i)
    i = i + 2 * plain
    local id, leaves, is_ready = due[i], false, false
    if unspent >= 4 then                                -- the budget is not asked after each plain task
      budget.spend(unspent)
      unspent, stops = 0, budget.is_spent()
    end
    if stops or work >= most then
      q.cut = true
      return true
    end
    if q.released then q.released[id] = nil end         -- a release after this counts again
    if not seen[id] then leaves, is_ready = promote.judge(q, id, due[i + 1], now) end
    if leaves then
      n = n + 1
      left[n] = id
    else
      seen[id] = true
    end
    if is_ready then q.ready_now = q.ready_now + 1 end
    spend()
  end, function(i, trouble)
    i = i + 2 * plain
    local fault = isolation.set_aside(q, due[i], now, trouble)
    if fault == 'own' then
      n = n + 1
      left[n] = due[i]
    else
      q.left = q.left + 1
    end
    if fault == 'denied' then isolation.tell_denied(q, due[i], now) end
    if fault == 'shared' or fault == 'everybody' then q.trouble = q.trouble or trouble end
    seen[due[i]] = true
    spend()
    return fault == 'everybody'
  end)
  budget.spend(unspent)
  if q.released then left = without(left, q.released) end
  if #left > 0 then redis.call('ZREM', q.due, unpack(left)) end   -- after the rest: a stop half-way repeats, it never loses
  q.moved = q.moved + #left
  return work
end

local function judge_range(q, first, last, most, now)
  local due = redis.call('ZRANGE', q.due, first, last, 'BYSCORE', 'LIMIT', '0', clock.text(most), 'WITHSCORES')
  return promote.judge_page(q, due, most, now)
end

-- Judge the oldest ids, and those whose score is no time. Answers how much work it was.
function promote.judge_oldest(q, most, now)
  local work = judge_range(q, '-inf', clock.text(now), most, now)
  return work < most and work + judge_range(q, '(4000000000000', '+inf', most - work, now) or work
end

-- The earliest time at which there is more to do. Ids that stay in due although their time has come do not count, unless
-- others behind them were not looked at.
function promote.next_due(q, now)
  if q.left == 0 then return safe.earliest(q.due) end
  if q.cut and q.moved > 0 then return now end
  local later = redis.call('ZRANGE', q.due, '(' .. clock.text(now), '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
  return later[2] and math.floor(math.min(tonumber(later[2]), 9e15)) or -1
end

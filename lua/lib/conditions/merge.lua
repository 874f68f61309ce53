-- merge: how a task joins a digest, what becomes of its tasks when it closes, and its payload when it starts.
--
-- USES  budget, clock, check, safe, json, endings, conditions, facts, reminders, holds, links, digests, blocked
-- USES  verdicts, late

local MOST_MERGED = 200000                              -- bytes of items that close a digest
local JUDGED_AT_ONCE = 25                               -- tasks judged by one look at a digest that closes

local function item_of(payload) return #payload <= late.LONGEST and json.from_text(payload) or nil end

-- Put a task among those of a digest. What says so in its hash is written first.
local function add_member(q, id, name, item)
  redis.call('HSET', q.task .. id, 'into', name)
  links.mark(q.task .. id, 'd')
  local sums = redis.call('HMGET', q.items .. name, ':last', ':bytes')
  local last = redis.call('ZRANGE', q.digest_members .. name, -1, -1, 'WITHSCORES')[2]
  local place = math.max(check.whole(sums[1] or '', 0, 1e12) or 0, tonumber(last or 0)) + 1
  local bytes = (check.whole(sums[2] or '', 0, 1e12) or 0) + #item
  redis.call('HSET', q.items .. name, ':last', place, ':bytes', bytes, id, item)
  redis.call('ZADD', q.digest_members .. name, place, id)
  return place, bytes
end

local function open_digest(q, id, digest, item, now)
  local since, name = now, nil
  repeat
    name, since = id .. '/' .. clock.text(since), since + 1   -- the same id may have opened a digest in this very ms
  until redis.call('EXISTS', q.digest_members .. name, q.items .. name) == 0
  local is_full = digest.size == 1
  local due = is_full and now or now + (digest.grace or 60000)
  -- first: without it nothing would ever remove the digest
  reminders.add(q.prefix, 'digest/' .. q.name .. '/' .. name, due + 1000)
  redis.call('HSET', q.items .. name, ':key', digest.key, ':since', clock.text(now))
  redis.call('ZADD', q.due, clock.text(due), id)
  add_member(q, id, name, item)
  if not is_full then redis.call('SET', q.digest .. digest.key, name) end
end

local function join(q, id, name, first, digest, item, now)
  local grace, since = digest.grace or 60000, check.whole(redis.call('HGET', q.items .. name, ':since') or '', 1e11,
    4e12) or now
  local _, bytes = add_member(q, id, name, item)
  local due = math.min(now + grace, since + (digest.longest or 10 * grace))
  if redis.call('ZCARD', q.digest_members .. name) >= (digest.size or 1000) or bytes > MOST_MERGED then
    redis.call('UNLINK', q.digest .. digest.key)
    due = now
  end
  redis.call('ZADD', q.due, 'XX', clock.text(due), first)
end

-- End a task that waits in a digest.
local function end_member(q, id, f, word, reason, now)
  if word == 'dead' then
    endings.dead(q, id, now, reason)
  elseif word == 'expired' then
    endings.expire(q, id, now, f.retention_ms)
  elseif word == 'deferred' then
    verdicts.turn_down(q, id, reason, f, now)
  else
    verdicts.conclude(q, id, word, now, f, reason)
  end
  if redis.call('HGET', q.task .. id, 'state') ~= 'scheduled' then redis.call('ZREM', q.due, id) end
  holds.leave(q, id, f.blocked)
end

-- Complete the item of a task from facts; false if that is not possible.
local function renew_item(q, name, id, plan, payload)
  if not plan.late then return true end
  local made = late.payload(q.prefix, plan.late, payload)
  if made then redis.call('HSET', q.items .. name, id, made) end
  return made ~= nil
end

-- Give a task that waits in a digest another payload. A task without an item is judged by the payload that it has.
function merge.replace(q, id, payload)
  local name, item = redis.call('HGET', q.task .. id, 'into'), item_of(payload)
  if not item or not name or not safe.call('ZSCORE', q.digest_members .. name, id) then return end
  redis.call('HINCRBY', q.items .. name, ':bytes', #item - redis.call('HSTRLEN', q.items .. name, id))
  redis.call('HSET', q.items .. name, id, item)
end

-- Judge one of the other tasks when a digest closes: its item stays, or it has an end of its own.
local function judge_member(q, name, id, now)
  local f = blocked.read(q, id)
  if not f or f.state ~= 'held' and f.state ~= 'scheduled' then digests.remove(q, name, id) return end
  local plan, newer = conditions.known(f.conditions or '')
  local fact = plan and facts.first(q.prefix, plan.cancel_on)
  local off = fact and 'event ' .. fact or f.cancel_requested
  if newer then                                         -- promote leaves it to a redsched that knows
    digests.leave(q, id, now)
    holds.release(q, id, now)
  elseif not plan or not f.payload then
    end_member(q, id, f, 'dead', 'malformed', now)
  elseif f.expires <= now then
    end_member(q, id, f, 'expired', nil, now)
  elseif off then
    end_member(q, id, f, 'cancelled', off, now)
  elseif not facts.is_met(q.prefix, plan) then
    end_member(q, id, f, 'deferred', plan, now)
  elseif not renew_item(q, name, id, plan, f.payload) then
    end_member(q, id, f, 'dead', 'malformed', now)
  end
end

-- Close a digest: no task joins it from here on, and its other tasks are judged, some in each call. Answers whether all
-- were.
local function close_digest(q, name, digest, now)
  if safe.call('GET', q.digest .. digest.key) == name then redis.call('UNLINK', q.digest .. digest.key) end
  local judged = redis.call('HGET', q.items .. name, ':judged')
  local from = judged or redis.call('ZRANGE', q.digest_members .. name, 0, 0, 'WITHSCORES')[2]
  local page = redis.call('ZRANGE', q.digest_members .. name, '(' .. from, '+inf', 'BYSCORE', 'LIMIT', 0, JUDGED_AT_ONCE,
    'WITHSCORES')
  local last = -1
  for i = 1, #page, 2 do
    if i > 1 and budget.is_spent() then break end
    judge_member(q, name, page[i], now)
    budget.spend(1)
    last = i
  end
  if last > 0 then redis.call('HSET', q.items .. name, ':judged', page[last + 1]) end
  q.planned = q.planned + (last + 1) / 2
  return last > #page - 2 and #page < 2 * JUDGED_AT_ONCE
end

-- What becomes of one task of a digest. Answers nil: it is to run with the items of all; open: it waits for more tasks, or
-- until all are judged; else a hold or an end, and its reason.
function merge.join_or_close(q, id, plan, f, now)
  local digest, name = plan.digest, f.into
  if not name or not safe.call('ZSCORE', q.digest_members .. name, id) then
    local item, open = item_of(f.payload), safe.call('GET', q.digest .. digest.key)
    if not item then return 'dead', 'malformed' end
    local first = open and not digests.started_by(q, open) and digests.first(q, open)
    if not first then
      open_digest(q, id, digest, item, now)
      return 'open'
    end
    join(q, id, open, first, digest, item, now)
    return 'digest', holds.NO_END
  end
  local starter, first = digests.started_by(q, name), nil
  if starter and digests.is_unbegun(q, starter) then return 'digest', holds.NO_END end
  if starter then return 'skipped', 'merged into ' .. starter end
  first = digests.first(q, name)
  if first ~= id then
    digests.lead(q, first, now, now)
    return 'digest', holds.NO_END
  end
  if not close_digest(q, name, digest, now) then return 'open' end
  if not renew_item(q, name, id, plan, f.payload) then return 'dead', 'malformed' end
end

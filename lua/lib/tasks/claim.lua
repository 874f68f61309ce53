-- claim: which entry of a stream is a task that may start, and what is answered of it.
--
-- USES  clock, keys, check, hash, endings, conditions, facts, newer_version, digests, blocked, pauses, verdicts

-- In the order of an answer, whose first four words take the place of what only the claim itself needs.
claim.FIELDS = {'state', 'entry', 'attempt', 'due_at', 'type', 'payload', 'timeout_ms', 'headers', 'traceparent',
  'content_type', 'max_attempts', 'expires_at', 'retention_ms'}

-- Whether the tests of a ready task still hold, as they did when it became ready. If not, it is turned down as promote would
-- do it. The task of a digest gets its items as payload here; then the digest is answered too.
local function still_met(q, id, now, found)
  local f = blocked.read(q, id)
  local plan, newer = nil, false
  if f.conditions then plan, newer = conditions.known(f.conditions) end
  local fact = plan and facts.first(q.prefix, plan.cancel_on)   -- with many listeners the task may not have been told yet
  if fact then
    verdicts.conclude(q, id, 'cancelled', now, f, 'event ' .. fact)
  elseif newer then
    newer_version.postpone(q, id, now, 'state', 'scheduled')
  elseif f.conditions and not plan then
    endings.dead(q, id, now, 'malformed')
  elseif plan and not facts.is_met(q.prefix, plan) then
    verdicts.turn_down(q, id, plan, f, now)
  else
    local digest = nil
    if plan and plan.digest and not f.frozen then found[6], digest = digests.payload(q, id, f, now) end
    return true, digest
  end
  return false
end

-- Make the answer out of a task's fields, in their table, since a new table is slow.
function claim.answer_of(found, number, id, attempt, due_at)
  found[1], found[2], found[3], found[4], found[13] = number, id, attempt, due_at, nil
  if not (found[7] or found[8] or found[9] or found[10] or found[11] or found[12]) then found[7] = nil end
  return found
end

local due_text, due_ms, type_name = nil, nil, nil       -- of the last plain task: mostly those of the next as well

-- The short way: the answer for a task that has none of the fields that only some tasks have, which the number of its fields
-- proves, so that they need not be looked for. nil if it has others or does not start; startable then says what becomes of it.
-- Nothing of its queue is paused.
function claim.plain_answer(key, number, id, entry)
  local found, count = nil, redis.pcall('HLEN', key)
  if count == 7 then
    found = redis.pcall('HMGET', key, 'state', 'entry', 'created_at', 'due_at', 'type', 'payload', 'submitted')
  elseif count == 8 then
    found = redis.pcall('HMGET', key, 'state', 'entry', 'created_at', 'due_at', 'type', 'payload', 'submitted', 'request')
  else
    return nil
  end
  if found[2] ~= entry or found[1] ~= 'ready' or not (found[3] and found[6] and found[7] and (found[8] or count == 7)) then
    return nil
  end
  if found[5] ~= type_name then
    if not keys.is_name(found[5]) then return nil end
    type_name = found[5]
  end
  if found[4] ~= due_text then
    due_ms = check.whole(found[4] or '', 1e11, 4e12)
    due_text = due_ms and found[4]
    if not due_ms then return nil end
  end
  found[1], found[2], found[3], found[4], found[7], found[8] = number, id, 1, due_ms, nil, nil
  return found
end

-- The answer for the task that this entry may start, and the digest that it is the task of; nil if the entry is stale or the
-- task ends here. key: of its hash; number: its queue's. The id need not be checked: one outside the grammar has no hash.
function claim.startable(q, key, number, id, entry, now, asked)
  local found = hash.of_reply(key, redis.pcall('HMGET', key, 'state', 'entry', 'attempt', 'due_at', 'type', 'payload',
    'timeout_ms', 'headers', 'traceparent', 'content_type', 'max_attempts', 'expires_at',
    'retention_ms'))                                    -- FIELDS; unpack is slow
  if not found or found[1] ~= 'ready' or found[2] ~= entry then return nil end
  local attempt, most, expires, timeout = 0, 5, 4e12, 60000
  if found[3] or found[11] or found[12] or found[7] then
    attempt = check.number_or('attempt', found[3], attempt)
    most = check.number_or('max_attempts', found[11], most)
    expires = check.number_or('expires_at', found[12], expires)
    timeout = check.number_or('timeout_ms', found[7], timeout)
  end
  if not (keys.is_name(found[5]) and found[6] and attempt and most and expires and timeout) then
    endings.dead(q, id, now, 'malformed')
  elseif expires <= now then
    endings.expire(q, id, now, found[13])
  elseif attempt >= most then
    endings.dead(q, id, now, 'attempts')
  else
    local due_at = check.whole(found[4] or '', 1e11, 4e12) or now
    local stop, is_met, digest = q.stops ~= false and pauses.by(q, found[5], id, now), true, nil
    if stop then
      pauses.hold(q, id, stop, clock.text(due_at), expires)
      return nil
    end
    if asked then is_met, digest = still_met(q, id, now, found) end
    if is_met then return claim.answer_of(found, number, id, attempt + 1, due_at), digest end
  end
end

-- caps: how many finished and dead tasks a queue keeps, whatever their retention. The queue's config says it. What is
-- removed because of a cap is counted.
--
-- USES  check, safe, events, stats

local NONE = 1e15                                       -- no set is as large as that
caps.USUAL = {most_finished = 100000, most_dead = NONE}

-- The cap that a text of the config means; nil if the text is no cap.
function caps.parse(value) return value == 'none' and NONE or check.whole(value, 0, 1e12) end

function caps.of(q, field)
  local found = safe.call('HGET', q.config, field)
  return found and caps.parse(found) or caps.USUAL[field]
end

function caps.is_over(q)
  return redis.call('ZCARD', q.finished) > caps.of(q, 'most_finished') or redis.call('ZCARD', q.dead) > caps.of(q, 'most_dead')
end

-- Whether a finished task is too young to be removed: clients repeat their calls, and its id must be known then.
function caps.is_young(set, ended, now) return set == 'finished' and now - ended < 600000 end

-- Count what was removed, and tell it at most once a minute for each set of a queue: how many were removed now (n) and so
-- far (total), and for how long the last of them was known.
function caps.tell_evicted(q, now, set, n, kept)
  if n == 0 or not stats.count(q, now, set .. '_evicted', n) then return end
  events.tell(q, 'evicted', set, 'n', n, 'total', safe.call('HGET', q.stats, set .. '_evicted') or n, 'kept_ms', kept)
end

-- The cap as replies have it: -1 if there is none.
function caps.for_reply(q, field)
  local most = caps.of(q, field)
  return most < NONE and most or -1
end

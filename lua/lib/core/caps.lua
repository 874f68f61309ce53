-- caps: how many finished and dead tasks a queue keeps, whatever their retention. The queue's config says it. What is
-- removed because of a cap is counted.
--
-- USES  clock, check, safe, events, stats

local NONE = 1e15                                       -- no set is as large as that
caps.USUAL = {most_finished = 100000, most_dead = NONE}

-- The cap that a text of the config means; nil if the text is no cap.
function caps.parse(value) return value == 'none' and NONE or check.whole(value, 0, 1e12) end

-- Read once a call.
local function of(q)
  local known = clock.call.caps or {}
  clock.call.caps = known
  if not known[q] then
    local found = safe.call('HMGET', q.config, 'most_finished', 'most_dead') or {}
    known[q] = {most_finished = found[1] and caps.parse(found[1]) or caps.USUAL.most_finished,
      most_dead = found[2] and caps.parse(found[2]) or caps.USUAL.most_dead}
  end
  return known[q]
end

-- How many tasks a set, finished or dead, has beyond its cap; 0 or less if it has none.
function caps.beyond(q, name)
  local most = of(q)['most_' .. name]
  return most < NONE and redis.call('ZCARD', q[name]) - most or 0
end

function caps.is_over(q) return caps.beyond(q, 'finished') > 0 or caps.beyond(q, 'dead') > 0 end

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
  local most = of(q)[field]
  return most < NONE and most or -1
end

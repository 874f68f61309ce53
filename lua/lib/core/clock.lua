-- clock: what time it is, in ms since the epoch: the server's TIME, read once by each script.
-- A caller's own time is accepted only where meta says virtual_clock (tests, simulation).
--
-- USES  budget

function clock.now(prefix, given)
  if given and given ~= '' and given ~= '0' then
    if redis.call('HGET', prefix .. 'meta', 'virtual_clock') ~= '1' then
      error({err = 'RS_CLOCK this deployment has no virtual clock; pass 0 as now'})
    end
    budget.begin()
    return tonumber(given)
  end
  local time = redis.call('TIME')
  local seconds, microseconds = tonumber(time[1]), tonumber(time[2])
  budget.begin(seconds * 1e6 + microseconds)
  return seconds * 1000 + math.floor(microseconds / 1000)
end

function clock.text(ms)
  return string.format('%.0f', ms)
end

-- clock: what time it is, in ms since the epoch: the server's TIME, read once by each script; and what is kept as long as a
-- call lasts. A caller's own time is accepted only where meta says virtual_clock (tests, simulation).
--
-- USES  nothing

clock.call = {units = 0, looks = 0}                     -- what is kept; a library lives on between calls

-- Forget what an earlier call kept. at: the server's time in microseconds; nil under a virtual clock.
function clock.begin(at) clock.call = {units = 0, looks = 0, at = at} end

local texts, last, last_text = {}, nil, nil             -- converting a number is slow, here and in Redis

-- A whole number as text.
function clock.text(n)
  local known = n == last and last_text or texts[n]
  if known then return known end
  local text = string.format('%.0f', n)
  if n > 1000 then
    last, last_text = n, text
  elseif n > 0 and n % 1 == 0 then
    texts[n] = text
  end
  return text
end

function clock.now(prefix, given)
  if given and given ~= '' and given ~= '0' then
    if redis.call('HGET', prefix .. 'meta', 'virtual_clock') ~= '1' then
      error({err = 'RS_CLOCK this deployment has no virtual clock; pass 0 as now'})
    end
    clock.begin()
    return tonumber(given)
  end
  local time = redis.call('TIME')
  local seconds, microseconds = time[1], time[2]
  clock.begin(seconds * 1e6 + microseconds)
  last_text = seconds .. string.sub('00000' .. microseconds, -6, -4)   -- most calls ask for it
  last = tonumber(last_text)
  return last
end

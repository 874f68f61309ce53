-- versions: which versions of an application have a worker that lives, and which of them rules: the newest.
--
-- USES  clock, check

local LIVE = 90000                                   -- ms that a worker counts as alive after it was last heard
local MOST_LIVE = 1000                                  -- versions of all applications

-- The numbers of a version, as a list; none for '-', which is older than all; nil if it is no version.
function versions.numbers(text)
  local found = {}
  if text == '-' then return found end
  if #text > 64 or not string.find(text, '^[%d.]+$') then return nil end
  for part in string.gmatch(text .. '.', '([^.]*)%.') do
    if not check.whole(part, 0, 1e9) then return nil end
    found[#found + 1] = tonumber(part)
  end
  return #found <= 8 and found or nil
end

-- -1, 0 or 1: whether the first version is older than the second, the same, or newer. A number that is missing is 0.
function versions.compare(one, other)
  local a, b = versions.numbers(one) or {}, versions.numbers(other) or {}
  if #a == 0 or #b == 0 then return #a == #b and 0 or #a == 0 and -1 or 1 end
  for i = 1, math.max(#a, #b) do
    local x, y = a[i] or 0, b[i] or 0
    if x ~= y then return x < y and -1 or 1 end
  end
  return 0
end

-- Note that a worker of a version lives.
function versions.note(prefix, app, version, consumer, now)
  local live = prefix .. 'live:' .. app .. '/' .. version
  redis.call('ZREMRANGEBYSCORE', live, '-inf', clock.text(now - LIVE))
  redis.call('ZADD', live, clock.text(now), consumer)
  redis.call('PEXPIRE', live, clock.text(LIVE))
  redis.call('ZREMRANGEBYSCORE', prefix .. 'apps', '-inf', clock.text(now - LIVE))
  redis.call('ZADD', prefix .. 'apps', clock.text(now), app .. '/' .. version)
end

-- Note that a worker has ended. The last one of its version takes that out of those that live.
function versions.leave(prefix, app, version, consumer, now)
  local live = prefix .. 'live:' .. app .. '/' .. version
  redis.call('ZREM', live, consumer)
  if redis.call('ZCOUNT', live, '(' .. clock.text(now - LIVE), '+inf') == 0 then
    redis.call('ZREM', prefix .. 'apps', app .. '/' .. version)
  end
end

-- Whether a worker of this version lives; without a version: of any version of the application.
function versions.lives(prefix, app, version, now)
  if version then
    local seen = redis.call('ZSCORE', prefix .. 'apps', app .. '/' .. version)
    return seen and tonumber(seen) > now - LIVE or false
  end
  return versions.ruling(prefix, app, now) ~= nil
end

-- The newest version of an application with a worker that lives; nil if none does.
function versions.ruling(prefix, app, now)
  local newest = nil
  local found = redis.call('ZRANGE', prefix .. 'apps', '+inf', '(' .. clock.text(now - LIVE), 'BYSCORE', 'REV', 'LIMIT',
    0, MOST_LIVE)
  for _, member in ipairs(found) do
    local name, version = string.match(member, '^([^/]+)/(.+)$')
    if name == app and (not newest or versions.compare(version, newest) > 0) then newest = version end
  end
  return newest
end

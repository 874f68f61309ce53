-- retry: the delay before the next attempt, from the task's policy; computed here so that every language gets it.
-- fixed <ms> | exponential <base ms> <factor> <max ms> <jitter 0..1> | list <ms> <ms> ...
-- Default: exponential 5000 2 3600000 0.2. Exponential: base * factor^(n-1), at most max, then moved by up to +-jitter of itself.
--
-- USES  check

local YEAR = 31536000000

-- attempt: how many attempts are used up, 1 or more. Answers ms, or nil if the policy cannot be used.
function retry.delay(policy, attempt, id)
  if policy and #policy > 1600 then return nil end
  local word = check.words(policy or 'exponential 5000 2 3600000 0.2')
  if word[1] == 'fixed' and #word == 2 then
    return check.whole(word[2], 0, YEAR)
  elseif word[1] == 'list' and #word >= 2 then
    return check.whole(word[math.min(attempt, #word - 1) + 1], 0, YEAR)
  elseif word[1] ~= 'exponential' or #word ~= 5 then
    return nil
  end
  local base, most = check.whole(word[2], 0, YEAR), check.whole(word[4], 0, YEAR)
  local factor, jitter = tonumber(word[3]), tonumber(word[5])
  if not (base and most and factor and jitter) then return nil end
  if not (factor >= 1 and factor <= 10 and jitter >= 0 and jitter <= 1) then return nil end   -- no order holds for nan
  local delay = base == 0 and 0 or math.min(base * factor ^ (attempt - 1), most)   -- 0 * inf is nan
  local time, seed = redis.call('TIME'), 0
  for i = 1, math.min(#id, 40) do seed = (seed * 31 + string.byte(id, i)) % 1000003 end
  math.randomseed((time[2] + seed + attempt * 7919) % 2147483647)
  math.random()
  return math.floor(delay * (1 + jitter * (2 * math.random() - 1)))
end

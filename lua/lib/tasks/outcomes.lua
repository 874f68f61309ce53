-- outcomes: what a run left behind: result, error, history of attempts. It has a key of its own, so that a long text never
-- unpacks the task's hash.
--
-- USES  nothing

local HISTORY = 20

-- Write fields of an outcome. If somebody put another type under its key, that is removed: it must not hold up other tasks.
function outcomes.write(key, ...)
  local answer = redis.pcall('HSET', key, ...)
  if type(answer) ~= 'table' or not answer.err then return end
  if not string.find(tostring(answer.err), 'WRONGTYPE', 1, true) then error(answer) end
  redis.call('UNLINK', key)
  redis.call('HSET', key, ...)
end

-- Remember how an attempt ended: field attempt:<n> = "<ms> <outcome> <worker> <error>", the last 20 of them.
function outcomes.add_attempt(q, id, now, attempt, outcome, worker, problem, traceback)
  local key = q.outcome .. id
  local short = string.sub(problem, 1, 500)
  local line = string.format('%.0f', now) .. ' ' .. outcome .. ' ' .. (worker or '-') .. ' ' .. short
  outcomes.write(key, 'error', string.sub(problem, 1, 4000), 'traceback', string.sub(traceback or '', 1, 16000),
    'attempt:' .. attempt, line)
  if attempt > HISTORY then redis.call('HDEL', key, 'attempt:' .. (attempt - HISTORY)) end
end

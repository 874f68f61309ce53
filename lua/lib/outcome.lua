-- outcome: what a run left behind, apart from the task's hash, so that a long text never unpacks that hash.

local HISTORY = 20

-- Write fields; a key of another type is in the way of somebody's mistake and goes: it must not hold up other tasks.
local function write_outcome(key, ...)
  local answer = redis.pcall('HSET', key, ...)
  if type(answer) ~= 'table' or not answer.err then return end
  if not string.find(tostring(answer.err), 'WRONGTYPE', 1, true) then error(answer) end
  redis.call('UNLINK', key)
  redis.call('HSET', key, ...)
end

-- Remember how an attempt ended: field attempt:<n> = "<ms> <outcome> <worker> <error>", the last 20 of them.
local function remember(q, id, now, attempt, outcome, worker, problem, traceback)
  local key = q.outcome .. id
  local short = string.sub(problem, 1, 500)
  local line = string.format('%.0f', now) .. ' ' .. outcome .. ' ' .. (worker or '-') .. ' ' .. short
  write_outcome(key, 'error', string.sub(problem, 1, 4000), 'traceback', string.sub(traceback or '', 1, 16000),
    'attempt:' .. attempt, line)
  if attempt > HISTORY then redis.call('HDEL', key, 'attempt:' .. (attempt - HISTORY)) end
end

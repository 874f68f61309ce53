-- plain_due: the short way of promote: due tasks that a script made, that no worker has had, and of which only the type has to
-- be judged. Any other id goes the long way.
--
-- USES  budget, keys, streams, pauses

local AT_ONCE = 16                                      -- ids after which the budget is asked
local at = 0                                            -- place of the id that is looked at

-- Make the tasks of these places of a page ready, up to the first that is not as above.
local function go_on(q, due, from, to, left)
  local prefix, ready, known_type, is_id, is_open = q.task, q.ready, nil, keys.is_id, streams.is_open(q)
  at = from
  if pauses.are_there(q) then return end
  for i = from, to, 2 do
    at = i
    local id, told = due[i], due[i + 1]
    if #told ~= 13 or not is_id(id) then return end
    local key = prefix .. id
    local found = redis.pcall('HMGET', key, 'state', 'type', 'priority', 'expires_at', 'conditions', 'created_at')
    if not found[6] or found[1] or found[3] or found[4] or found[5] then return end
    if found[2] ~= known_type then
      if not keys.is_name(found[2]) then return end
      known_type = found[2]
    end
    local entry = is_open and 'normal/' .. redis.call('XADD', ready, '*', 'id', id) or streams.add(q, id, 'normal')
    redis.call('HSET', key, 'state', 'ready', 'entry', entry, 'due_at', told)
    left[(i + 1) / 2], is_open = id, true
  end
  at = to + 2
end

-- Whether all scores of a page with 13 characters are times: a page is in order, and Redis writes a number of 13 digits without
-- an exponent.
local function are_times(due)
  local first, last = tonumber(due[2]), tonumber(due[#due])
  return math.min(first, last) >= 1e12 and math.max(first, last) < 4e12
end

-- Make such tasks ready as far as a page begins with them, and put their ids into left. Answers how many they are. An error
-- ends it; the long way then meets that again.
function plain_due.make_ready(q, due, left)
  if q.released or next(q.seen) or not are_times(due) then return 0 end
  local total, from, done = #due, 1, 0
  while from < total do
    local to = math.min(from + 2 * AT_ONCE, total + 1) - 2
    local ok = pcall(go_on, q, due, from, to, left)
    budget.spend((at - from) / 2)
    done, from = (at - 1) / 2, at
    if not ok or at <= to or budget.is_spent() then break end
  end
  return done
end

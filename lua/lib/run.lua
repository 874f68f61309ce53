-- run: the task of one run of a schedule.

local MOST_OPEN = 100                                   -- runs that a schedule remembers as not ended

-- Make the task of a run; nil where its id is taken: a slot makes one task, ever. due: the planned time, ms.
local function make_run(q, s, suffix, due, now, payload)
  local id, fields, priority = s.id .. '@' .. suffix, {}, s.f['task:priority']
  local key, counted_from = q.task .. id, string.find(suffix, '.b', 1, true) and now or due
  if not is_id(id) then return nil end
  weigh(2 + #(payload or s.f['task:payload'] or '') / 4096)
  s.open[#s.open + 1] = suffix
  if redis.call('EXISTS', key) == 1 then return nil end -- made by a call that stopped half-way: it may still run
  for field in pairs(TEXT) do                           -- only what a producer may write
    local value = s.f['task:' .. field]
    if field == 'expires_at' and value then value = text(counted_from + (tonumber(string.sub(value, 2)) or 0)) end
    if field == 'payload' then value = payload or value end
    if value then fields[#fields + 1], fields[#fields + 2] = field, value end
    if field == 'payload' and value then fields[#fields + 1], fields[#fields + 2] = 'submitted', fingerprint(value) end
  end
  local when = text(math.min(due, now))
  if s.f['task:conditions'] then
    redis.call('ZADD', q.due, when, id)                 -- promote judges it
  else
    local entry = add_entry(q, id, PRIORITY[priority or ''] and priority or 'normal')
    for _, word in ipairs({'state', 'ready', 'entry', entry, 'due_at', when}) do fields[#fields + 1] = word end
  end
  redis.call('HSET', key, 'created_at', text(now), 'schedule', s.id, 'slot', suffix, unpack(fields))
  if #s.open > MOST_OPEN then table.remove(s.open, 1) end
  s.recent[#s.recent + 1] = suffix .. '/' .. text(now)
  s.made = s.made + 1
  return id
end

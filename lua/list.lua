-- list: one page of the tasks that are in one place of a queue. Never more than limit ids are looked at.
--
-- KEYS   due     zset    {namespace}:due:<queue>
-- ARGV   place   string  due | held | running (earliest first) | ready (in order of priority) | finished | dead | quarantine
--                        (latest first)
-- ARGV   cursor  string  '' or what the last page answered
-- ARGV   limit   int     1..1000; fewer where they are large
-- ARGV   type    string  only tasks of this type; '' for all
-- ARGV   state   string  only tasks of this state; '' for all
-- REPLY  {cursor, task...}  cursor '' on the last page; each task {id, score or stream entry, state, type, priority, attempt,
--                        due_at, created_at, started_at, finished_at, expires_at, key, tags, worker, reason}
-- FLAGS  no-writes
-- USES   budget, clock, keys, hash, pages

local q, place, cursor, limit = keys.open(KEYS[1]), ARGV[1], ARGV[2], math.max(1, math.min(tonumber(ARGV[3]), 1000))
local only_type, only_state = ARGV[4], ARGV[5]
local places = {due = q.due, held = q.held, running = q.running, finished = q.finished, dead = q.dead,
  quarantine = q.quarantine, ready = q.ready}
if not places[place] then return redis.error_reply('RS_INVALID 1 place is unknown') end

local found, next_cursor, after
clock.begin()
if place == 'ready' then
  found, next_cursor = pages.of_streams(q, cursor, limit)
else
  found, next_cursor, after = pages.of_set(places[place], cursor, limit, place == 'finished' or place == 'dead'
    or place == 'quarantine')
end

local reply = {next_cursor}
for i, item in ipairs(found) do
  if budget.is_spent() then
    reply[1] = after and after(i - 1) or found[i - 1][2]
    break
  end
  budget.spend(0.5)
  if place == 'quarantine' then
    reply[#reply + 1] = {item[1], item[2]}
  else
    local task = keys.is_id(item[1]) and hash.read(q.task .. item[1], 'state', 'type', 'priority', 'attempt',
      'due_at', 'created_at',
      'started_at', 'finished_at', 'expires_at', 'key', 'tags', 'worker', 'reason')
    if task and (only_type == '' or task[2] == only_type) and (only_state == '' or hash.state_of(task[1]) == only_state) then
      reply[#reply + 1] = {item[1], item[2], hash.state_of(task[1]), unpack(task, 2, 13)}
      budget.spend((#(task[11] or '') + #(task[13] or '')) / 1024)
    end
  end
end
return reply

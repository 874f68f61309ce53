-- show_schedules: all that is known of some schedules, or of one page of them, next look first.
--
-- KEYS   schedules  zset    {namespace}:schedules
-- ARGV   now        int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   cursor     string  '' or what the last page answered
-- ARGV   limit      int     1..100 schedules of a page; fewer where they are large
-- ARGV   id...      string  none: a page; else these, 1..100
-- REPLY  {now, cursor, schedule...}  cursor '' on the last page; each schedule {id, {field, value, ...}, {run, state, started_at,
--                           due_at, ...}}: its last runs; {id, {}, {}} where there is none
-- FLAGS  no-writes
-- USES   budget, clock, keys, hash, pages, schedules

local prefix = schedules.prefix_of(KEYS[1])
local now, limit = clock.now(prefix, ARGV[1]), math.max(1, math.min(tonumber(ARGV[3]), 100))
local set, from, ids, cursor, after = KEYS[1], ARGV[2], {}, '', nil
if #ARGV > 3 then
  for i = 4, math.min(#ARGV, 103) do ids[i - 3] = ARGV[i] end
else
  local found
  found, cursor, after = pages.of_set(set, from, limit, false)
  for i, item in ipairs(found) do ids[i] = item[1] end
end

local reply = {now, cursor}
for at, id in ipairs(ids) do
  if after and budget.is_spent() then
    reply[2] = after(at - 1)
    break
  end
  local s, pairs_of_hash, last_runs = schedules.read(prefix, id), {}, {}
  for name, value in pairs(s and s.f or {}) do
    pairs_of_hash[#pairs_of_hash + 1] = name
    pairs_of_hash[#pairs_of_hash + 1] = value
    budget.spend(#value / 2048)
  end
  local q = s and keys.open(prefix .. 'due:' .. schedules.queue_of(s))
  for i = s and math.max(1, #s.recent - schedules.REMEMBERED + 1) or 1, s and #s.recent or 0 do
    local line = s.recent[i]
    local found = hash.read(q.task .. id .. '@' .. string.match(line, '^[^/]*'), 'state', 'started_at', 'due_at')
      or {'gone', false, false}
    for _, word in ipairs({line, found[1] or 'scheduled', found[2] or '', found[3] or ''}) do last_runs[#last_runs + 1] = word end
  end
  budget.spend(1)
  reply[#reply + 1] = {id, pairs_of_hash, last_runs}
end
return reply

-- timeline: what queues did in the last hour, by minute, and what is due from now on, in steps.
--
-- KEYS   due...  zset    {namespace}:due:<queue>, 1..100 queues
-- ARGV   now     int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   past    int     ms before now, up to an hour
-- ARGV   ahead   int     ms from now on
-- ARGV   every   int     ms of a step, whole minutes; steps begin at multiples of it
-- ARGV   sample  int     0..200: how many tasks of a queue that are due in that time are looked at for their types
-- REPLY  {now, first, queue...}  ms: the beginning of the first step; for each queue {overdue, later, {due...},
--                        {step, {field, n, ...}, ...}, {type, n, ...}}: how many are due by now, after the last step, and in each
--                        step from now on; counts of the minutes of the past that have some, each with the number of its step;
--                        types of the sample
-- FLAGS  no-writes
-- USES   clock, keys, safe

local MOST = 4000                                       -- steps and samples of all queues together
local queues = keys.open_all(KEYS)
local now, past, ahead = clock.now(queues[1].prefix, ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local step, sample = tonumber(ARGV[4]), tonumber(ARGV[5])
if not (past and past >= 0 and past <= 3600000) then return redis.error_reply('RS_INVALID 1 past must be 0 to 3600000 ms') end
if not (step and step >= 60000 and step % 60000 == 0) then
  return redis.error_reply('RS_INVALID 1 step must be whole minutes in ms')
end
if not (ahead and ahead >= 0 and sample and sample >= 0 and sample <= 200) then
  return redis.error_reply('RS_INVALID 1 ahead must be ms and sample 0 to 200')
end
local first = math.floor((now - past) / step) * step
local steps = math.floor((now + ahead - first - 1) / step) + 1
if steps < 1 then steps = 1 end
if #queues * (steps + sample + past / 60000 + 1) > MOST then
  return redis.error_reply('RS_INVALID 1 step must be longer, or there must be fewer queues')
end

local function count(q, low, high) return safe.call('ZCOUNT', q.due, low, high) or 0 end

local function types_of(q, from, many)
  local counts, told = {}, {}
  local looks = math.min(sample, many)
  for i = 1, looks do
    local rank = clock.text(from + math.floor((i - 0.5) * many / looks))
    local id = (safe.call('ZRANGE', q.due, rank, rank) or {})[1]
    local kind = id and keys.is_id(id) and safe.call('HGET', q.task .. id, 'type')
    if kind and keys.is_name(kind) then counts[kind] = (counts[kind] or 0) + 1 end
  end
  for kind, n in pairs(counts) do told[#told + 1], told[#told + 2] = kind, n end
  return told
end

local reply = {now, first}
for i, q in ipairs(queues) do
  local due, counts, total = {}, {}, 0
  for n = 1, steps do
    local low, high = first + (n - 1) * step, first + n * step
    local begin = low > now and clock.text(low) or '(' .. clock.text(now)
    local found = high > now and count(q, begin, '(' .. clock.text(high)) or 0
    due[n], total = found, total + found
  end
  for minute = math.floor((now - past) / 60000), math.floor(now / 60000) do
    local told = safe.call('HGETALL', q.stats .. ':' .. clock.text(minute)) or {}
    if #told > 0 and minute * 60000 >= first then
      counts[#counts + 1], counts[#counts + 2] = math.floor((minute * 60000 - first) / step), told
    end
  end
  local overdue = count(q, '-inf', clock.text(now))
  reply[i + 2] = {overdue, count(q, clock.text(first + steps * step), '+inf'), due, counts, types_of(q, overdue, total)}
end
return reply

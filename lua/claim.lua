-- claim: start up to n ready tasks for a consumer: high priority first, then normal, then low.
--
-- KEYS   due...    zset    {namespace}:due:<queue>, 1..16 queues, in the order in which they are served
-- ARGV   now       int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   consumer  string  who claims; unique to one process
-- ARGV   nonce     string  fresh and random for each call; the same again after a lost reply starts nothing new
-- ARGV   n         int     1..1000, most tasks to start; no more than 2n + 64 entries are looked at
-- ARGV   lease_ms  int     1000..3600000, how long the tasks are this consumer's unless it renews
-- ARGV   bell...   words   entries that a blocking read delivered: number of the queue in KEYS, priority/stream id, task id
-- REPLY  {now, more, task...}  more: 1 where there may be more to claim; each task {number of the queue, id, attempt,
--                          due_at, type, payload, timeout_ms, headers, traceparent, content_type, max_attempts, expires_at}
-- FLAGS  allow-oom
-- USES   clock, keys, drain, ready, start, claimed

local queues, consumer, nonce = open_all(KEYS), ARGV[2], ARGV[3]
local want, lease = math.min(tonumber(ARGV[4]), 1000), math.max(1000, math.min(tonumber(ARGV[5]), 3600000))
local prefix = queues[1].prefix
local now = clock(prefix, ARGV[1])
local reply = {now, 0}

drain(queues[1])
local answered = claimed_before(prefix .. 'claimed:' .. consumer, nonce, queues, now)
if answered then
  for i = 1, #answered do reply[i + 2] = answered[i] end
  return reply
end

local looks, starts = 2 * want + 64, {}
local leaving = {}                                    -- by stream: the ids of the entries that leave it
local function look(number, priority, stream, entries)
  local q, gone = queues[number], leaving[stream] or {}
  leaving[stream] = gone
  looks = looks - #entries
  for _, entry in ipairs(entries) do
    local at, id = entry[1], entry[2] and entry[2][2] or ''
    gone[#gone + 1] = at
    local task = not gone[at] and startable(q, id, priority .. '/' .. at, now)
    if task then
      task.q, task.number, task.id = q, number, id
      starts[#starts + 1] = task
    end
  end
end

for i = 6, #ARGV, 3 do
  local number, priority, at = tonumber(ARGV[i]), string.match(ARGV[i + 1], '^(%a+)/(%d+%-%d+)$')
  local stream = stream_of(queues[number], priority)
  look(number, priority, stream, {{at, {'id', ARGV[i + 2]}}})
  leaving[stream][at] = true                          -- a group that was made anew delivers it a second time
end
for _, priority in ipairs(PRIORITIES) do
  for number, q in ipairs(queues) do
    local stream, short = stream_of(q, priority), false
    while not short and #starts < want and looks > 0 do
      local most = math.min(want - #starts, looks)
      local found = read_group(q, stream, consumer, most)
      look(number, priority, stream, found)
      short = #found < most
    end
  end
end
if #starts >= want or looks <= 0 then reply[2] = 1 end

begin(starts, now, lease, nonce, consumer, reply)
for stream, gone in pairs(leaving) do
  if #gone > 0 then
    redis.call('XDEL', stream, unpack(gone))           -- first: one that is acknowledged and stays is nobody's
    redis.call('XACK', stream, 'workers', unpack(gone))
  end
end
if #starts > 0 then
  remember_claim(prefix .. 'claimed:' .. consumer, nonce, starts, lease)
end
return reply

-- claim: start up to n ready tasks for a consumer: high priority first, then normal, then low.
--
-- KEYS   due...    zset    {namespace}:due:<queue>, 1..16 queues, in the order in which they are served
-- ARGV   now       int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   consumer  string  who claims; unique to one process
-- ARGV   nonce     string  fresh and random for each call; the same again after a lost reply starts nothing new
-- ARGV   n         int     1..1000, most tasks to start: fewer where they take long, or their payloads come to 1 MiB; no more
--                          than 2n + 64 entries are looked at
-- ARGV   lease_ms  int     1000..3600000, how long the tasks are this consumer's unless it renews
-- ARGV   bell...   words   3 words each: number of its queue in KEYS, priority/stream id, task id; entries of a blocking read
-- REPLY  {now, more, task...}  more: 1 where there may be more to claim; each task {number of the queue, id, attempt,
--                          due_at, type, payload, timeout_ms, headers, traceparent, content_type, max_attempts, expires_at}
-- FLAGS  allow-oom
-- USES   budget, clock, keys, safe, errors, memory, streams, isolation, claim

local queues, consumer, nonce = keys.open_all(KEYS), ARGV[2], ARGV[3]
local want, lease = math.min(tonumber(ARGV[4]), 1000), math.max(1000, math.min(tonumber(ARGV[5]), 3600000))
local prefix, now = queues[1].prefix, clock.now(queues[1].prefix, ARGV[1])
local reply = {now, 0}
for i = 7, #ARGV, 3 do if not streams.parse_entry(ARGV[i]) then return redis.error_reply('RS_INVALID 1 bell is no entry') end end
memory.drain(queues[1])
if claim.repeated(prefix .. 'claimed:' .. consumer, nonce, queues, now, reply) then return reply end
local MOST_BYTES, MOST_LOOKS, A_PAGE = 1048576, 300, 100   -- of payloads, but for the last; units; entries read at once
local looks, starts, started, bytes, is_full = 2 * want + 64, {}, 0, 0, false
local rung, read_to, home = {}, {}, {}                  -- by stream: entries of bells; the last read from its head; its queue

-- Answers whether the call starts no more: by number, payloads or its budget, which is not asked after each plain task.
local function look(number, entry, id, asked)
  looks = looks - 1
  budget.call.units = budget.call.units + 1
  local task = claim.startable(queues[number], id, entry, now, asked)
  if task then
    task.q, task.number, task.id = queues[number], number, id
    started = started + 1
    starts[started] = task
    bytes = bytes + #task[4]
  end
  return started >= want or looks <= 0 or bytes >= MOST_BYTES or (asked or looks % 4 == 0) and budget.is_spent(MOST_LOOKS)
end

local function leave_out(number, id, trouble)
  isolation.set_aside_or_raise(queues[number], id, now, trouble)
  is_full = looks <= 0
  return is_full
end

errors.for_each(#ARGV - 5, 3, function(i)               -- a later claim finds those that are left in their streams
  local number, priority, at = tonumber(ARGV[i + 5]), streams.parse_entry(ARGV[i + 6])
  local stream = streams.of(queues[number], priority)
  local bells = rung[stream] or {}
  rung[stream], home[stream] = bells, queues[number]
  is_full = not bells[at] and look(number, ARGV[i + 6], ARGV[i + 7], true)
  bells[at] = true
  return is_full
end, function(i, trouble)
  return leave_out(tonumber(ARGV[i + 5]), ARGV[i + 7], trouble)
end)
for _, priority in ipairs(streams.PRIORITIES) do
  for number, q in ipairs(queues) do
    local stream, from, short = streams.of(q, priority), '-', false
    local bells = rung[stream] or {}
    while not short and not is_full do
      local most = math.min(want - started, looks, A_PAGE)
      local entries = safe.call('XRANGE', stream, from, '+', 'COUNT', most) or {}
      home[stream] = q
      if #entries > 0 then errors.for_each(#entries, 1, function(i)
        local at, values = entries[i][1], entries[i][2]
        read_to[stream] = at
        is_full = not bells[at] and look(number, priority .. '/' .. at, values[2], values[3])
        return is_full
      end, function(i, trouble) return leave_out(number, entries[i][2][2], trouble) end) end
      short, from = #entries < most, '(' .. (read_to[stream] or '0')
    end
  end
end
if is_full then reply[2] = 1 end
if started > 0 then claim.begin(starts, now, lease, nonce, consumer, reply) end
claim.trim_streams(read_to, rung, home)
if started > 0 then claim.remember(prefix .. 'claimed:' .. consumer, nonce, starts, lease) end
return reply

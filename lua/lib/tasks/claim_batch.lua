-- claim_batch: start up to n ready tasks of several queues for a consumer: first those that a blocking read has delivered
-- (bells), then those at the heads of the streams, high priority before normal before low.
--
-- USES  budget, clock, safe, errors, streams, isolation, pauses, claim, claim_start, last_claim

local MOST_BYTES, MOST_LOOKS, A_PAGE = 1048576, 300, 100   -- of payloads, but for the last; units; entries read at once

-- Whether the bells args[first..last], three words each, name a queue and an entry of a stream.
function claim_batch.are_bells(queues, args, first, last)
  for i = first, last, 3 do
    if not (queues[tonumber(args[i]) or 0] and streams.parse_entry(args[i + 1]) and args[i + 2]) then return false end
  end
  return true
end

-- What a caller asks for, as start takes it: most tasks, and for how long they are the consumer's, within their bounds.
function claim_batch.order(consumer, nonce, n, lease_ms)
  local want, lease = math.min(tonumber(n), 1000), math.max(1000, math.min(tonumber(lease_ms), 3600000))
  return {consumer = consumer, nonce = nonce, want = want, lease = lease}
end

-- Answers the reply of the verb claim. The bells are args[first..last]. A caller that asks for no task gets none.
function claim_batch.start(queues, now, order, args, first, last)
  local want, key, reply = order.want, queues[1].prefix .. 'claimed:' .. order.consumer, {now, 0}
  if want < 1 or last_claim.repeated(key, order.nonce, queues, now, reply) then return reply end
  local looks, started, bytes, is_full = 2 * want + 64, 0, 0, false
  local answers, hashes, starting = {}, {}, {}          -- of the tasks that start: answers, keys; digests of some
  local unspent = 0                                     -- units of plain tasks, told to the budget before it is asked
  local rung, read_to, home = {}, {}, {}                -- by stream: entries of bells; the last read from its head; its queue

  -- Answers whether the call starts no more: by number, payloads or its budget, which is not asked after each plain task.
  local function look(number, entry, id, asked)
    looks, unspent = looks - 1, unspent + 1
    local q, answer, digest = queues[number], nil, nil
    local key = q.task .. id
    if not asked and (q.stops == false or not pauses.are_there(q)) then
      answer = claim.plain_answer(key, number, id, entry)
    end
    if not answer then answer, digest = claim.startable(q, key, number, id, entry, now, asked) end
    if answer then
      started = started + 1
      answers[started], hashes[started] = answer, key
      if digest ~= nil then starting[started] = digest end
      bytes = bytes + #answer[6]
    end
    if started >= want or looks <= 0 or bytes >= MOST_BYTES then return true end
    if unspent < 4 and not asked then return false end
    budget.spend(unspent)
    unspent = 0
    return budget.is_spent(MOST_LOOKS)
  end

  local function leave_out(number, id, trouble)
    isolation.set_aside_or_raise(queues[number], id, now, trouble)
    is_full = looks <= 0
    return is_full
  end

  errors.for_each(last - first + 1, 3, function(i)      -- a later claim finds those that are left in their streams
    local word = first + i - 1
    local number, priority, at = tonumber(args[word]), streams.parse_entry(args[word + 1])
    local stream = streams.of(queues[number], priority)
    local bells = rung[stream] or {}
    rung[stream], home[stream] = bells, queues[number]
    is_full = not bells[at] and look(number, args[word + 1], args[word + 2], true)
    bells[at] = true
    return is_full
  end, function(i, trouble)
    return leave_out(tonumber(args[first + i - 1]), args[first + i + 1], trouble)
  end)
  for _, priority in ipairs(streams.PRIORITIES) do
    local before = priority .. '/'
    for number, q in ipairs(queues) do
      local stream, from, reached = streams.of(q, priority), '-', nil
      local short = read_to[stream] ~= nil              -- KEYS may name a queue twice: it is read once
      local bells = rung[stream] or {}
      while not short and not is_full do
        local most = math.min(want - started, looks, A_PAGE)
        local entries = safe.call('XRANGE', stream, from, '+', 'COUNT', clock.text(most)) or {}
        home[stream] = q
        if #entries > 0 then errors.for_each(#entries, 1, function(i)
          local entry = entries[i]
          local at, values = entry[1], entry[2]
          reached = at
          is_full = not bells[at] and look(number, before .. at, values[2], values[3])
          return is_full
        end, function(i, trouble) return leave_out(number, entries[i][2][2], trouble) end) end
        read_to[stream] = reached
        short, from = #entries < most, '(' .. (reached or '0')
      end
    end
  end
  if is_full then reply[2] = 1 end
  if started > 0 then claim_start.begin(queues, answers, hashes, starting, now, order, reply) end
  claim_start.trim_streams(read_to, rung, home)
  if started > 0 then last_claim.remember(key, queues, answers, order) end
  return reply
end

-- plain_tasks: the short way of enqueue: new tasks of one queue that have a type, a payload, and nothing else but a request
-- each, or none, and whose type and queue give them nothing. Any other call goes the long way.
--
-- USES  clock, keys, stats, streams, fields, index, submission, type_defaults

-- The keys of such tasks, which of them are due, and the scores and ids of the others, as lists side by side, since a table
-- for each is slow; also where the colons of their ids are, by number of the task, nil if no id has one.
-- each: how many words each has. Answers nil if one is no plain task or has a fault; the long way then says
-- what is wrong.
local function read_plain(words, each, q, now)
  local number, given, total, n, bytes, waiting = words[2], words[5], #words, 0, 0, 0
  local hashes, is_due, scores, seen = {}, {}, {}, {}
  local is_id, prefix, known_type, known_score, due, due_text = keys.is_id, q.task, nil, nil, nil, nil
  local find, colons = string.find, nil
  if (total - 1) % each > 0 or total > 1 + 1000 * each then return nil end
  for at = 2, total, each do
    local id, score, type = words[at + 1], words[at + 2], words[at + 5]
    if words[at] ~= number or words[at + 3] ~= given or words[at + 4] ~= 'type' or words[at + 6] ~= 'payload'
        or each == 10 and not (words[at + 8] == 'request' and #words[at + 9] <= fields.LONGEST.request)
        or not is_id(id) then return nil end
    if type ~= known_type then                          -- the tasks of a call mostly have one type and are due at one time
      if not keys.is_name(type) or type_defaults.defaults_of(q, type) then return nil end
      known_type = type
    end
    if score ~= known_score then
      due, known_score = fields.due_time(score, now), score
      if not due then return nil end
      due_text = string.byte(score) == 43 and clock.text(due) or score   -- it began with +
    end
    local key = prefix .. id
    if seen[key] then return nil end
    n, bytes = n + 1, bytes + #words[at + 7]
    seen[key], hashes[n] = true, key
    local colon = find(id, ':', 2, true)
    if colon then
      colons = colons or {}
      colons[n] = colon
    end
    if due <= now then
      is_due[n] = true
    else
      waiting = waiting + 2
      scores[waiting - 1], scores[waiting] = due_text, id
    end
  end
  if bytes > submission.MOST_TOGETHER and (n > 1 or bytes > fields.LONGEST.payload) then return nil end
  return hashes, is_due, scores, colons
end

-- Answers as enqueue does; nil if the call has to go the long way, and then nothing was written.
function plain_tasks.enqueue(words, queues, now)
  local q, each = queues[tonumber(words[2]) or 0], words[5] == '2' and 8 or words[5] == '3' and 10
  if not (q and each) then return nil end
  local hashes, is_due, scores, colons = read_plain(words, each, q, now)
  if not hashes or redis.call('EXISTS', unpack(hashes)) > 0 then return nil end
  local stamp, fingerprint, at = clock.text(now), fields.fingerprint, 2
  for i, colon in pairs(colons or {}) do index.add_subject(q, words[3 + (i - 1) * each], colon) end
  if scores[1] then redis.call('ZADD', q.due, unpack(scores)) end
  for i = 1, #hashes do
    local key, digits = hashes[i], fingerprint(words[at + 7])
    if is_due[i] then
      local entry = streams.add(q, words[at + 1], 'normal')
      redis.call('HSET', key, 'created_at', stamp, 'submitted', digits, 'state', 'ready', 'entry', entry,
        'due_at', stamp, unpack(words, at + 4, at + each - 1))
    elseif each == 8 then
      redis.call('HSET', key, 'created_at', stamp, 'submitted', digits, 'type', words[at + 5],
        'payload', words[at + 7])
    else
      redis.call('HSET', key, 'created_at', stamp, 'submitted', digits, unpack(words, at + 4, at + 9))
    end
    hashes[i], at = 'created', at + each                -- the answers, in the same list
  end
  stats.count_created(q, now, #hashes)
  return hashes
end

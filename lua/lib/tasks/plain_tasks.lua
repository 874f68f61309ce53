-- plain_tasks: the short way of enqueue: new tasks of one queue that have a type, a payload, perhaps a request, and nothing
-- else. Any other call goes the long way.
--
-- USES  clock, keys, stats, streams, fields, submission

-- Such tasks as lists side by side, since a table for each is slow. Answers nil if one is no plain task or has a fault; the
-- long way then says what is wrong.
local function read_plain(words, q, now)
  local number, total, n, at, bytes, seen = words[2], #words, 0, 2, 0, {}
  local tasks = {ids = {}, hashes = {}, first = {}, last = {}, is_due = {}, scores = {}}
  local ids, hashes, first, last, is_due, scores = tasks.ids, tasks.hashes, tasks.first, tasks.last, tasks.is_due, tasks.scores
  while at <= total do
    local id, score, pairs_given, payload = words[at + 1], words[at + 2], words[at + 3], words[at + 7]
    local request = pairs_given == '3' and words[at + 8] == 'request' and words[at + 9]
    if words[at] ~= number or not payload or not (pairs_given == '2' or request and #request <= fields.LONGEST.request)
        or words[at + 4] ~= 'type' or words[at + 6] ~= 'payload' or not keys.is_id(id)
          or not keys.is_name(words[at + 5]) then return nil end
    local due, key = fields.due_time(score, now), q.task .. id
    n, bytes = n + 1, bytes + #payload
    if not due or seen[key] or n > 1000 or #payload > fields.LONGEST.payload or n > 1 and bytes > submission.MOST_TOGETHER then
      return nil
    end
    seen[key] = true
    ids[n], hashes[n], is_due[n] = id, key, due <= now
    first[n], last[n] = at + 4, request and at + 9 or at + 7
    if due > now then
      scores[#scores + 1] = string.byte(score) == 43 and clock.text(due) or score   -- it began with +
      scores[#scores + 1] = id
    end
    at = last[n] + 1
  end
  return n > 0 and tasks or nil
end

-- Answers as enqueue does; nil if the call has to go the long way, and then nothing was written.
function plain_tasks.enqueue(words, queues, now)
  local q = queues[tonumber(words[2]) or 0]
  local tasks = q and read_plain(words, q, now)
  if not tasks or redis.call('EXISTS', unpack(tasks.hashes)) > 0 then return nil end
  local stamp, answers = clock.text(now), {}
  if #tasks.scores > 0 then redis.call('ZADD', q.due, unpack(tasks.scores)) end
  for i, key in ipairs(tasks.hashes) do
    local first, last = tasks.first[i], tasks.last[i]
    local submitted = fields.fingerprint(words[first + 3])
    if tasks.is_due[i] then
      local entry = streams.add(q, tasks.ids[i], 'normal')
      redis.call('HSET', key, 'created_at', stamp, 'submitted', submitted, 'state', 'ready', 'entry', entry, 'due_at', stamp,
        unpack(words, first, last))
    else
      redis.call('HSET', key, 'created_at', stamp, 'submitted', submitted, unpack(words, first, last))
    end
    answers[i] = 'created'
  end
  stats.count_created(q, now, #answers)
  return answers
end

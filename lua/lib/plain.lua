-- plain: the short way of enqueue: new tasks of one queue that have a type, a payload, perhaps a request, and nothing else.

-- Such tasks as lists side by side, since a table a task is slow; nil where one is anything else, or wrong: then the long way is
-- gone, which says what is wrong.
local function read_plain(words, q, now)
  local number, total, n, at, bytes, seen = words[2], #words, 0, 2, 0, {}
  local tasks = {ids = {}, hashes = {}, first = {}, last = {}, is_due = {}, scores = {}}
  local ids, hashes, first, last, is_due, scores = tasks.ids, tasks.hashes, tasks.first, tasks.last, tasks.is_due, tasks.scores
  while at <= total do
    local id, score, fields, payload = words[at + 1], words[at + 2], words[at + 3], words[at + 7]
    local request = fields == '3' and words[at + 8] == 'request' and words[at + 9]
    if words[at] ~= number or not payload or not (fields == '2' or request and #request <= TEXT.request)
        or words[at + 4] ~= 'type' or words[at + 6] ~= 'payload' or not is_id(id) or not is_name(words[at + 5]) then return nil end
    local due, hash = due_time(score, now), q.task .. id
    n, bytes = n + 1, bytes + #payload
    if not due or seen[hash] or n > 1000 or #payload > TEXT.payload or n > 1 and bytes > MOST_TOGETHER then return nil end
    seen[hash] = true
    ids[n], hashes[n], is_due[n] = id, hash, due <= now
    first[n], last[n] = at + 4, request and at + 9 or at + 7
    if due > now then
      scores[#scores + 1] = string.byte(score) == 43 and text(due) or score   -- it began with +
      scores[#scores + 1] = id
    end
    at = last[n] + 1
  end
  return n > 0 and tasks or nil
end

-- Answers as enqueue does; nil, and nothing is written, where the long way has to be gone.
local function enqueue_plain(words, queues, now)
  local q = queues[tonumber(words[2]) or 0]
  local tasks = q and read_plain(words, q, now)
  if not tasks or redis.call('EXISTS', unpack(tasks.hashes)) > 0 then return nil end
  local stamp, answers = text(now), {}
  if #tasks.scores > 0 then redis.call('ZADD', q.due, unpack(tasks.scores)) end
  for i, hash in ipairs(tasks.hashes) do
    local first, last = tasks.first[i], tasks.last[i]
    local submitted = fingerprint(words[first + 3])
    if tasks.is_due[i] then
      local entry = add_entry(q, tasks.ids[i], 'normal')
      redis.call('HSET', hash, 'created_at', stamp, 'submitted', submitted, 'state', 'ready', 'entry', entry, 'due_at', stamp,
        unpack(words, first, last))
    else
      redis.call('HSET', hash, 'created_at', stamp, 'submitted', submitted, unpack(words, first, last))
    end
    answers[i] = 'created'
  end
  count_created(q, now, #answers)
  return answers
end

-- enqueue_run: one part of a long list of tasks, with how far the list has come: a part is created once, however often and
-- however long after a crash it is sent.
--
-- KEYS   due...    zset    {namespace}:due:<queue>, one per queue
-- ARGV   now       int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   run       string  name of the list
-- ARGV   from      int     tasks of the list before this part
-- ARGV   to        int     tasks of the list up to its end; from: only tell how far the list has come
-- ARGV   began     int     when the first call came, ms, as an earlier answer told it; of a new list it is kept
-- ARGV   first     string  digest of the list's first task, '' where none is known: another list of the same run is refused
-- ARGV   last      string  digest of the part's last task, '' where none is known: who goes on can tell that it has this list
-- ARGV   task...   words   as enqueue takes them; none where only the place is asked
-- REPLY  {at, began, first, last, status...}  tasks of the list that are created or answered for; when its first call came, ms;
--                          the digests of its first task and of the last of those; where the part was the next one, what enqueue
--                          answers; else the list is elsewhere, and nothing was written; error RS_INVALID as of enqueue
-- FLAGS  none
-- USES   clock, keys, check, plain_tasks, intake

local queues, run, from, to = keys.open_all(KEYS), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local now, begin, words = clock.now(queues[1].prefix, ARGV[1]), check.whole(ARGV[5], 1e11, 4e12), {ARGV[1]}
if not keys.is_name(run) or not from or not to or from < 0 or to < from then
  return redis.error_reply('RS_INVALID 1 run must be a name, with from and to')
end
local first, last = ARGV[6] or '', ARGV[7] or ''
if #first > 64 or #last > 64 then return redis.error_reply('RS_INVALID 1 run must have digests of at most 64 bytes') end
local key, KEPT = queues[1].prefix .. 'run:' .. run, '2678400000'   -- 31 days
local found = redis.call('HMGET', key, 'at', 'began', 'first', 'last')
local at, began = check.whole(found[1] or '', 0, 1e15) or 0, check.whole(found[2] or '', 1e11, 4e12)
began = began or begin or now
local known, so_far = found[3] or '', found[4] or ''
if first ~= '' and known ~= '' and known ~= first then
  return redis.error_reply('RS_INVALID 1 run is that of another list: its first task is another; give each list its own name')
end
if at ~= from or to == from then return {at, began, known, so_far} end

for i = 8, #ARGV do words[i - 6] = ARGV[i] end
local answers = plain_tasks.enqueue(words, queues, now) or intake.create(words, queues, now)
if answers.err then return answers end
-- last: a stop before it repeats, and the ids are known by then
redis.call('HSET', key, 'at', clock.text(to), 'began', clock.text(began), 'first', first ~= '' and first or known, 'last', last)
redis.call('PEXPIRE', key, KEPT)
local reply = {to, began, first ~= '' and first or known, last}
for i = 1, #answers do reply[i + 4] = answers[i] end
return reply

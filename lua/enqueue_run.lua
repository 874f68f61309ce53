-- enqueue_run: one part of a long list of tasks, with how far the list has come: a part is created once, however often and
-- however long after a crash it is sent.
--
-- KEYS   due...    zset    {namespace}:due:<queue>, one per queue
-- ARGV   now       int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   run       string  name of the list
-- ARGV   from      int     tasks of the list before this part
-- ARGV   to        int     tasks of the list up to its end; from: only tell how far the list has come
-- ARGV   began     int     when the first call came, ms, as an earlier answer told it; of a new list it is kept
-- ARGV   task...   words   as enqueue takes them; none where only the place is asked
-- REPLY  {at, began, status...}  tasks of the list that are created or answered for; when its first call came, ms; where the part
--                          was the next one, what enqueue answers; else the list is elsewhere, and nothing was written; error
--                          RS_INVALID as of enqueue
-- FLAGS  none
-- USES   clock, keys, check, plain_tasks, intake

local queues, run, from, to = keys.open_all(KEYS), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local now, begin, words = clock.now(queues[1].prefix, ARGV[1]), check.whole(ARGV[5], 1e11, 4e12), {ARGV[1]}
if not keys.is_name(run) or not from or not to or from < 0 or to < from then
  return redis.error_reply('RS_INVALID 1 run must be a name, with from and to')
end
local key, KEPT = queues[1].prefix .. 'run:' .. run, '2678400000'   -- 31 days
local found = redis.call('HMGET', key, 'at', 'began')
local at, began = check.whole(found[1] or '', 0, 1e15) or 0, check.whole(found[2] or '', 1e11, 4e12)
began = began or begin or now
if at ~= from or to == from then return {at, began} end

for i = 6, #ARGV do words[i - 4] = ARGV[i] end
local answers = plain_tasks.enqueue(words, queues, now) or intake.create(words, queues, now)
if answers.err then return answers end
-- last: a stop before it repeats, and the ids are known by then
redis.call('HSET', key, 'at', clock.text(to), 'began', clock.text(began))
redis.call('PEXPIRE', key, KEPT)
local reply = {to, began}
for i = 1, #answers do reply[i + 2] = answers[i] end
return reply

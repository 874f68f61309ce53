-- find: one page of the tasks of a namespace that a filter chooses, whatever their queue; never more than limit are looked at.
--
-- KEYS   queues     set     {namespace}:queues
-- ARGV   now        int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   cursor     string  '' or what the last page answered
-- ARGV   limit      int     1..500, most looked at; fewer where they take long
-- ARGV   most       int     1..500, most told
-- ARGV   source     string  where to look: tagged:<tag>, keyed:<key> or about:<subject> (in order of <queue>/<id>) ·
--                           due:<queue>, held:... , ready:..., running:..., finished:... or dead:... (in that order) ·
--                           id:<id> (each queue, a page of queues at a time) · '': the smallest key of the filter's tags, key
--                           and subject; with a cursor give what the reply named
-- ARGV   filter...  words   2 words each, a name and a value, all of which must hold: tag (may come again) · key · subject ·
--                           id · type · queue · reason · state (words with commas between them; finished is any of four) ·
--                           due_from, due_to, created_from, created_to, ended_from, ended_to (ms, or +ms or -ms from now)
-- REPLY  {now, source, cursor, looked, task...}  ms; '' where the filter names nothing to look in; cursor '' on the last page;
--                           how many were looked at; each task {queue, id, score in due or '', state, type, priority, attempt,
--                           due_at, created_at, started_at, finished_at, expires_at, key, tags, worker, reason}; with id: also
--                           {queue, id, ms, forgotten} of one that was removed then
-- FLAGS  no-writes
-- USES   budget, clock, search

local queues, cursor, limit = KEYS[1], ARGV[2], math.max(1, math.min(tonumber(ARGV[3]), 500))
local most, source, prefix = math.max(1, tonumber(ARGV[4])), ARGV[5], string.match(queues, '^({[^{}]+}:)queues$')
if not prefix then return redis.error_reply('RS_KEYS the key must be {namespace}:queues') end
local now = clock.now(prefix, ARGV[1])

local f, why = search.filter(ARGV, 6, now)
if not f then return redis.error_reply('RS_INVALID 1 ' .. why) end
if source == '' then source = search.smallest(prefix, f) or '' end
if source == '' then return {now, '', '', 0} end

local found, following, after = search.page(queues, prefix, source, cursor, limit, f)
if not found then return redis.error_reply('RS_INVALID 1 source is unknown') end
local reply, by_id = {now, source, following, #found}, string.sub(source, 1, 3) == 'id:'
for i, item in ipairs(found) do
  if i > 1 and after and (#reply - 4 >= most or budget.is_spent()) then
    reply[3], reply[4] = after(i - 1), i - 1
    break
  end
  budget.spend(0.3)
  local row = item[1] and search.row(prefix, f, item[1], item[2], item[3])
  if by_id and not row then
    local at = search.removed(prefix, item[1], item[2], now)
    row = at and {item[1], item[2], at, 'forgotten'}
  end
  reply[#reply + 1] = row or nil
end
return reply

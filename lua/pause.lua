-- pause: start no more tasks of a queue, or of a type or a key of it, or of every queue, whether it is known or not. Those that
-- run go on; start-by and quarantine too.
--
-- KEYS   due     zset    {namespace}:due:<queue>
-- ARGV   now     int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   what    string  queue | type:<type> | key:<key> | all: every queue
-- ARGV   reason  string  at most 200 bytes are kept
-- ARGV   until   string  0: until it is resumed; ms since the epoch or +ms: until then
-- ARGV   known   string  known: only if somebody has seen the queue; may be missing
-- REPLY  word            paused | unknown: nobody has seen the queue; error RS_INVALID 1 <field> <why>
-- FLAGS  none
-- USES   clock, keys, events, stats, fields, schema, reminders, pauses

local q, what, reason, known = keys.open(KEYS[1]), ARGV[2], string.sub(ARGV[3], 1, 200), ARGV[5]
local now = clock.now(q.prefix, ARGV[1])
local till = fields.due_time(ARGV[4], now)
local kind, name = string.match(what, '^(%a+):(.+)$')
if not (what == 'queue' or what == 'all' or kind == 'type' and keys.is_name(name)
    or kind == 'key' and schema.is_key(name)) then
  return redis.error_reply('RS_INVALID 1 what must be queue, type:<type> or key:<key>')
end
if not till or till ~= 0 and till <= now then return redis.error_reply('RS_INVALID 1 until must be 0, or later than now') end
if known == 'known' and what ~= 'all' and redis.call('SISMEMBER', q.prefix .. 'queues', q.name) == 0
    and redis.call('EXISTS', q.due, q.ready) == 0 then
  return 'unknown'
end
redis.call('HSET', pauses.key(q, what), what, clock.text(till) .. ' ' .. clock.text(now) .. ' ' .. reason)
if till > 0 then reminders.add(q.prefix, pauses.reminder(q, what), till) end
if what ~= 'all' then stats.add_queue(q) end
events.tell(q, 'paused', what, 'reason', reason)
return 'paused'

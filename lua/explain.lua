-- explain: why a task has not run yet, when it will, or why it never will: all that bears on it, read at one moment.
--
-- KEYS   due  zset    {namespace}:due:<queue>
-- ARGV   now  int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   id   string  the task
-- REPLY  {now, fields, told...}  ms; its hash (field, value, ...; empty where there is none); then lists that begin with what
--        they tell: {due, ms} · {held, ms} · {lease, ms} · {quarantined, reason} · {stop, what, until, since, reason} ·
--        {fact, name, value or '', 1 where it is there} · {unless or only_if, 1 where it holds} · {line, name, first, how
--        many before it} · {parents, left, failed, first that failed, one that is left} · {digest, other tasks in it so far,
--        the one that they are merged into} · {newer, conditions} (only a newer redsched knows them all) · {ready, entries in
--        the queue} · {running, how many} · {mover, 1 where one acts} · {workers, that wait for its entries, -1 where this
--        caller may not ask} · {type_queue, the queue of its type, '' where nobody knows it} · {event, ms, ...}
-- FLAGS  no-writes
-- USES   clock, keys, safe, hash, streams, conditions, facts, links, blocked, pauses, type_defaults

local q, id = keys.open(KEYS[1]), ARGV[2]
local now = clock.now(q.prefix, ARGV[1])
local f = keys.is_id(id) and blocked.read(q, id)
local reply = {now, f and redis.call('HGETALL', q.task .. id) or {}}
local function tell(...) reply[#reply + 1] = {...} end
for word, set in pairs({due = q.due, held = q.held, lease = q.running}) do
  local score = safe.call('ZSCORE', set, id)
  if score then tell(word, math.floor(math.max(0, math.min(tonumber(score), 9e15)))) end
end
for _, reason in ipairs({'missing', 'wrong type', 'bad id', 'bad time', 'malformed'}) do
  if safe.call('ZSCORE', q.quarantine, reason .. ':' .. string.sub(id, 1, 128)) then tell('quarantined', reason) end
end
local about = f and hash.read(q.task .. id, 'type', 'key') or {}
for what, line in pairs(pauses.of(q, 'queue', 'type:' .. (about[1] or ''), 'key:' .. (about[2] or ''))) do
  local till, since, reason = string.match(line, '^(%d+) (%d+) (.*)$')
  if pauses.is_active(line, now) then tell('stop', what, tonumber(till or 0), tonumber(since or 0), reason or line) end
end

local function tell_test(test)
  for _, one in ipairs(test.all or test.any or {}) do tell_test(one) end
  if not test.fact then return end
  local value = facts.value(q.prefix, test.fact, test.field)
  tell('fact', test.field and test.fact .. '#' .. test.field or test.fact, string.sub(value or '', 1, 200), value and 1 or 0)
end
local plan, newer = nil, false
if f and f.conditions then plan, newer = conditions.known(f.conditions) end
if newer then tell('newer', 'conditions') end
if plan then
  for _, name in ipairs(conditions.facts(plan)) do tell_test({fact = name}) end
  for _, which in ipairs({'unless', 'only_if'}) do
    if plan[which] then
      tell_test(plan[which])
      tell(which, facts.holds(q.prefix, plan[which]) and 1 or 0)
    end
  end
  for _, line in ipairs(links.lines_of(plan, f.key)) do
    local rank = safe.call('ZRANK', q.line .. line, id)
    if rank then tell('line', line, redis.call('ZRANGE', q.line .. line, 0, 0)[1], rank) end
  end
  if plan.after then
    local found, one = redis.call('HMGET', q.parents .. id, ':left', ':failed', ':first'), ''
    local page = redis.call('HSCAN', q.parents .. id, 0, 'COUNT', 500)[2]
    for i = 1, #page, 2 do one = page[i + 1] == '' and page[i] or one end
    tell('parents', tonumber(found[1] or 0), tonumber(found[2] or 0), found[3] or '', one)
  end
  if plan.digest then
    local others = f.into and (safe.call('ZCARD', q.digest_members .. f.into) or 0) - 1 or 0
    tell('digest', math.max(others, 0), f.into and safe.call('ZRANGE', q.digest_members .. f.into, 0, 0)[1] or id)
  end
end
local waiting = {}
for i, priority in ipairs(streams.PRIORITIES) do waiting[i] = safe.call('XLEN', streams.of(q, priority)) or 0 end
tell('ready', waiting[1] + waiting[2] + waiting[3])
tell('running', safe.call('ZCARD', q.running) or 0)
tell('mover', redis.call('EXISTS', q.prefix .. 'mover'))
tell('workers', streams.readers(q))
tell('type_queue', about[1] and type_defaults.queue_of(q.prefix, about[1]) or '')
for _, entry in ipairs(safe.call('XREVRANGE', q.prefix .. 'events', '+', '-', 'COUNT', 1000) or {}) do
  local told = {}
  for i = 1, #entry[2], 2 do told[entry[2][i]] = entry[2][i + 1] end
  if told.id == id and told.queue == q.name then
    tell('event', tonumber(string.match(entry[1], '^%d+')), told.event, unpack(entry[2], 7))
  end
end
return reply

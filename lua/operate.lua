-- operate: keep what a change of many tasks has done so far, for a day, and let one process at a time carry it out.
--
-- KEYS   operation  hash    {namespace}:operation:<id>
-- ARGV   now        int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   what       string  begin | write | abort
-- ARGV   driver     string  of begin and write: a word of the process that carries it out, new for each begin
-- ARGV   field...   words   2 words each, a field and its value, 0..16 times: what is written; with begin: action, search and
--                           arguments, by which the same operation is known
-- REPLY  {word, now, record}  ms; fields and values as HGETALL answers them, or {}. begin: begun (go on where the record says) |
--                           driven (another process made a step within the last minute) | over (it is completed or aborted) |
--                           other (the id is that of another operation); write: going | abort (somebody asked for that) |
--                           replaced (another driver has it: nothing was written); abort: abort (it ends after the present
--                           step) | aborted (nobody carried it out) | over | missing
-- FLAGS  none
-- USES   clock, safe

local key, what, driver = KEYS[1], ARGV[2], ARGV[3]
local prefix, id = string.match(key, '^({[^{}]+}:)operation:(.+)$')
if not prefix then return redis.error_reply('RS_KEYS the key must be {namespace}:operation:<id>') end
local now, DAY, SILENT = clock.now(prefix, ARGV[1]), 86400000, 60000
if what ~= 'begin' and what ~= 'write' and what ~= 'abort' then
  return redis.error_reply('RS_INVALID 1 what must be begin, write or abort')
end
if what ~= 'abort' and (driver or '') == '' then return redis.error_reply('RS_INVALID 1 driver must not be empty') end

local found = redis.call('HMGET', key, 'state', 'driver', 'updated_at', 'abort', 'action', 'search', 'arguments')
local state, is_over = found[1], found[1] == 'completed' or found[1] == 'aborted'
local is_driven = (state == 'finding' or state == 'running') and now - (tonumber(found[3] or '') or 0) <= SILENT

local function keep(...)
  redis.call('HSET', key, 'updated_at', clock.text(now), ...)
  redis.call('PEXPIRE', key, clock.text(DAY))
end

local function answer(word, whole) return {word, now, whole and redis.call('HGETALL', key) or {}} end

if what == 'abort' then
  if not state or is_over then return answer(state and 'over' or 'missing') end
  if is_driven then
    redis.call('HSET', key, 'abort', '1')
    return answer('abort')
  end
  keep('state', 'aborted', 'driver', '')                -- whoever drove it learns that it is another's
  return answer('aborted')
end

local given, asked = {}, {}
for at = 4, math.min(#ARGV, 35) do given[at - 3] = ARGV[at] end
if what == 'write' then
  if state and found[2] ~= driver then return answer('replaced', true) end
  if not state then given[#given + 1], given[#given + 2] = 'started_at', clock.text(now) end
  keep('driver', driver, unpack(given))
  return answer(found[4] == '1' and 'abort' or 'going')
end

for at = 1, #given, 2 do asked[given[at]] = given[at + 1] end
if not state then
  local list = prefix .. 'operations'                   -- it only helps to find them
  safe.call('ZADD', list, clock.text(now), id)
  safe.call('ZREMRANGEBYSCORE', list, '-inf', clock.text(now - 2 * DAY))
  safe.call('ZREMRANGEBYRANK', list, 0, -1001)
  safe.call('PEXPIRE', list, clock.text(2 * DAY))
  keep('state', 'finding', 'driver', driver, 'started_at', clock.text(now), unpack(given))
  return answer('begun', true)
end
if asked.action ~= found[5] or asked.search ~= found[6] or asked.arguments ~= found[7] then return answer('other', true) end
if is_over then return answer('over', true) end
if is_driven and found[2] ~= driver then return answer('driven', true) end
if found[4] == '1' then                                 -- its driver was gone before it heard of that
  keep('state', 'aborted', 'driver', '')
  return answer('over', true)
end
if found[2] ~= driver then keep('state', 'finding', 'driver', driver, 'error', '') else keep('driver', driver) end
return answer('begun', true)

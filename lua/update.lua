-- update: change fields of tasks that wait or are dead; an empty value takes a field back to its default.
--
-- KEYS   due       zset    {namespace}:due:<queue>
-- ARGV   now       int     0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   n         int     1..16, number of fields
-- ARGV   field...  words   n times field, value, as enqueue takes them; not request
-- ARGV   id...     string  1..1000 ids
-- REPLY  {word...}         updated | expires (its new start-by lies before it is due: nothing was written) | running | moved (to
--                          another queue) | finished | missing, in order; error RS_INVALID 1 <field> <why> before anything is
--                          written
-- FLAGS  none
-- USES   clock, keys, check, hash, events, streams, index, cancel, fields, digests, circles, blocked, merge, decide, reschedule

local q = keys.open(KEYS[1])
local now, n = clock.now(q.prefix, ARGV[1]), tonumber(ARGV[2])
if n < 1 or n > 16 or #ARGV < 2 + 2 * n then return redis.error_reply('RS_INVALID 1 n must be 1 to 16, with as many fields') end
local set, drop, given = {}, {}, {}
for i = 3, 1 + 2 * n, 2 do
  local field, value = ARGV[i], ARGV[i + 1]
  local keep, why = fields.usable(field, value, now)
  if field == 'request' then keep, why = nil, 'cannot be changed' end
  if value == '' and fields.LONGEST[field] and field ~= 'payload' and field ~= 'type' and field ~= 'request' then
    drop[#drop + 1] = field
  elseif not keep then
    return redis.error_reply('RS_INVALID 1 ' .. (fields.LONGEST[field] and field or 'fields') .. ' ' .. why)
  else
    set[#set + 1], set[#set + 2] = field, keep
  end
  given[field] = keep or value
  if field == 'payload' then                            -- who submits it from now on means this task
    set[#set + 1], set[#set + 2] = 'submitted', fields.fingerprint(keep)
  end
end
local plans, found_by = given.conditions and 'conditions' or given.key and 'key', {tags = given.tags, key = given.key}
local priority = given.priority == '' and 'normal' or given.priority

local left = circles.MOST
for i = 3 + 2 * n, plans and #ARGV or 0 do
  local why, looked
  if keys.is_id(ARGV[i]) then why, looked = circles.after_change(q, ARGV[i], given.conditions, given.key, left) end
  left = left - (looked or 0)
  if why then return redis.error_reply('RS_INVALID 1 ' .. plans .. ' name a task that comes after this one') end
end

local answers = {}
for i = 3 + 2 * n, #ARGV do
  local id, key, answer = ARGV[i], q.task .. ARGV[i], 'updated'
  local found = keys.is_id(id) and hash.read(key, 'state', 'entry', 'priority', 'conditions', 'bound', 'due_at', 'reason')
  local state = found and hash.state_of(found[1])
  local old = plans and found and blocked.read(q, id)
  if not found then
    answer = 'missing'
  elseif state == 'running' or hash.FINISHED[state] or digests.has(found[5]) and cancel.end_merged(q, id, now) then
    answer = hash.refusal(state, found[7])
  elseif given.expires_at and reschedule.is_too_late(q, id, state, found[6], given.expires_at, now) then
    answer = 'expires'
  else
    local function write()
      if #set > 0 then redis.call('HSET', key, unpack(set)) end
      if #drop > 0 then redis.call('HDEL', key, unpack(drop)) end
    end
    local leaves = next(found_by) and index.enter(q, id, found_by)
    if old and (plans == 'conditions' or old.conditions) then
      old.entry = found[2]
      decide.change(q, id, old, write, now)
    else
      write()
      if state == 'ready' then                          -- judged again when claimed, and in the stream of its priority
        local was = check.PRIORITIES[found[3] or 'normal'] and (found[3] or 'normal') or 'normal'
        redis.call('HSET', key, 'entry', streams.add(q, id, priority or was, found[4]))
        streams.remove(q, found[2])
      end
    end
    if leaves then index.leave(q, id, leaves) end
    if given.payload and digests.has(found[5]) then merge.replace(q, id, given.payload) end
    events.tell(q, 'updated', id)
  end
  answers[#answers + 1] = answer
end
return answers

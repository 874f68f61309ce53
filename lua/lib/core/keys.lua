-- keys: every key of a queue, derived from its due key, so that all keys of a call are in one slot. Also the grammar of
-- names and ids.
--
-- USES  nothing

local QUEUES, opened = {}, 0                            -- a library lives on between calls; a script begins anew
local OF_MANY = ' task outcome parents children items digest_members line unique digest stopped '   -- an id or a name follows
local OF_QUEUE = ' ready held running finished dead quarantine stats inbox paused config '

-- A key of a queue, as the field of that name. A script makes those that it asks for, as most of its calls need few; a library
-- makes all, once for many calls.
local function make_key(q, field)
  local asked = ' ' .. field .. ' '
  local of_many = string.find(OF_MANY, asked, 1, true)
  if not of_many and not string.find(OF_QUEUE, asked, 1, true) then return nil end
  local key = q.prefix .. (field == 'digest_members' and 'members' or field) .. ':' .. q.name .. (of_many and ':' or '')
  q[field] = key
  return key
end

local function make_all(q)
  for field in string.gmatch(OF_MANY .. OF_QUEUE, '%S+') do make_key(q, field) end
end

function keys.open(due)
  local known = QUEUES[due]
  if known then
    known.grouped, known.aside, known.stops, known.planned, known.released = false, false, nil, 0, false
    known.sound, known.stuck = nil, nil
    return known
  end
  local prefix, name = string.match(due or '', '^({[^{}]+}:)due:([A-Za-z0-9][A-Za-z0-9._@+-]*)$')
  if not prefix or #name > 100 then
    error({err = 'RS_KEYS each key must be {namespace}:due:<queue>'})
  end
  if opened >= 1000 then QUEUES, opened = {}, 0 end
  opened = opened + 1
  local q = {prefix = prefix, name = name, due = due, grouped = false, aside = false, planned = 0, released = false}
  QUEUES[due] = q
  if EVALSHA then setmetatable(q, {__index = make_key}) else make_all(q) end
  return q
end

function keys.open_all(due_keys)
  local queues = {}
  for i = 1, #due_keys do queues[i] = keys.open(due_keys[i]) end
  return queues
end

local last_name = nil                                   -- the next task of a call mostly has the same type

function keys.is_name(value)
  if value == last_name then return value ~= nil end
  if not value or #value > 100 or not string.find(value, '^%w[%w._@+-]*$') then return false end
  last_name = value
  return true
end

function keys.is_id(value)
  return value and #value <= 128 and string.find(value, '^%w[0-9a-zA-Z:._@+-]*$') ~= nil
end

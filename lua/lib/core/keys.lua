-- keys: every key of a queue, derived from its due key, so that all keys of a call are in one slot. Also the grammar of
-- names and ids.
--
-- USES  nothing

local QUEUES, opened = {}, 0                            -- a library lives on between calls; a script begins anew

function keys.open(due)
  local known = QUEUES[due]
  if known then
    known.grouped, known.aside, known.stops, known.planned, known.released = {}, {}, nil, 0, nil
    known.sound, known.stuck = nil, nil
    return known
  end
  local prefix, name = string.match(due or '', '^({[^{}]+}:)due:([A-Za-z0-9][A-Za-z0-9._@+-]*)$')
  if not prefix or #name > 100 then
    error({err = 'RS_KEYS each key must be {namespace}:due:<queue>'})
  end
  if opened >= 1000 then QUEUES, opened = {}, 0 end
  opened = opened + 1
  QUEUES[due] = {
    prefix = prefix, name = name, due = due,
    task = prefix .. 'task:' .. name .. ':',
    outcome = prefix .. 'outcome:' .. name .. ':',
    ready = prefix .. 'ready:' .. name,
    held = prefix .. 'held:' .. name,
    running = prefix .. 'running:' .. name,
    finished = prefix .. 'finished:' .. name,
    dead = prefix .. 'dead:' .. name,
    quarantine = prefix .. 'quarantine:' .. name,
    stats = prefix .. 'stats:' .. name,
    inbox = prefix .. 'inbox:' .. name,
    parents = prefix .. 'parents:' .. name .. ':',
    children = prefix .. 'children:' .. name .. ':',
    items = prefix .. 'items:' .. name .. ':',
    digest_members = prefix .. 'members:' .. name .. ':',
    line = prefix .. 'line:' .. name .. ':',
    unique = prefix .. 'unique:' .. name .. ':',
    digest = prefix .. 'digest:' .. name .. ':',
    paused = prefix .. 'paused:' .. name,
    config = prefix .. 'config:' .. name,
    stopped = prefix .. 'stopped:' .. name .. ':',
    grouped = {}, aside = {}, planned = 0,
  }
  return QUEUES[due]
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
  return value and #value <= 128 and string.find(value, '^%w[%w._@+:-]*$') ~= nil
end

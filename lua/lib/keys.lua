-- keys: every key of a queue, derived from its due key, so that all keys of a call are in one slot.

local OPENED, opened = {}, 0                            -- a library lives on between calls; a script begins anew

local function open(due)
  local known = OPENED[due]
  if known then
    known.grouped, known.aside, known.stops, known.planned, known.released = {}, {}, nil, 0, nil
    known.sound = nil
    return known
  end
  local prefix, name = string.match(due or '', '^({[^{}]+}:)due:([A-Za-z0-9][A-Za-z0-9._@+-]*)$')
  if not prefix or #name > 100 then
    error({err = 'RS_KEYS each key must be {namespace}:due:<queue>'})
  end
  if opened >= 1000 then OPENED, opened = {}, 0 end
  opened = opened + 1
  OPENED[due] = {
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
  return OPENED[due]
end

local function open_all(keys)
  local queues = {}
  for i = 1, #keys do queues[i] = open(keys[i]) end
  return queues
end

local last_name = nil                                   -- the next task of a call mostly has the same type

local function is_name(value)
  if value == last_name then return value ~= nil end
  if not value or #value > 100 or not string.find(value, '^%w[%w._@+-]*$') then return false end
  last_name = value
  return true
end

local function is_id(value)
  return value and #value <= 128 and string.find(value, '^%w[%w._@+:-]*$') ~= nil
end

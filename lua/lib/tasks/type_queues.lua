-- type_queues: the queues of a type of tasks: its own, those that it had before, and in which of them a task is. A type's line is
-- <queue> <app> <version or -> <start of its worker, ms>, then <former queue> <when it was left, ms> for each of the others.
--
-- USES  clock, keys, safe, hash

local MOST_FORMER = 4                                   -- queues that a type had before, the latest first
local FORMER_MS, MOST_MOVES = 3024000000, 4             -- known for 35 days; a task that was moved is followed so often

-- Split a type's line: its first part, its queue, and the former queues that still count as lists of name and ms.
function type_queues.split(line, now)
  local first, queue, rest = string.match(line .. ' ', '^((%S+) %S+ %S+ %d+)( .*)$')
  if not first then return line, string.match(line, '^%S*'), {} end
  local found = {}
  for name, at in string.gmatch(rest, ' (%S+) (%d+)') do
    local left = #at < 14 and tonumber(at) or 0
    if #found < MOST_FORMER and keys.is_name(name) and left > now - FORMER_MS then
      found[#found + 1] = {name, clock.text(left)}
    end
  end
  return first, queue, found
end

-- A line of a type with its former queues.
function type_queues.joined(first, others)
  local words = {first}
  for _, one in ipairs(others) do words[#words + 1] = one[1] .. ' ' .. one[2] end
  return table.concat(words, ' ')
end

-- The former queues of a type that had the line old and has this queue from now on.
function type_queues.formers(old, queue, now)
  if not old then return {} end
  local _, before, known = type_queues.split(old, now)
  local found = {}
  if before ~= queue and keys.is_name(before) then found[1] = {before, clock.text(now)} end
  for _, one in ipairs(known) do
    if one[1] ~= queue and one[1] ~= before and #found < MOST_FORMER then found[#found + 1] = one end
  end
  return found
end

-- Whether a queue has a task of this type and id, and where that was moved to if it has only the note of that.
local function look(prefix, queue, name, id)
  local found = redis.pcall('HMGET', prefix .. 'task:' .. queue .. ':' .. id, 'type', 'state', 'reason')
  if found.err then return false end                    -- no hash, or of a queue that this caller may not read
  return found[1] == name, hash.moved_to(found[2], found[3])
end

-- Which of its queues, former ones first, has a task of a type with this id, whatever its state; nil if none. Where a task was
-- moved on it is the queue that has it now, or the one with the last note of it: enqueue answers existing there, too.
function type_queues.place(prefix, name, id, now)
  local line = keys.is_id(id) and safe.call('HGET', prefix .. 'types', name)
  if not line then return nil end
  local _, current, others = type_queues.split(line, now)
  others[#others + 1] = {current}
  for _, one in ipairs(others) do
    local place, there, moved = one[1], look(prefix, one[1], name, id)
    for _ = 1, there and MOST_MOVES or 0 do
      if not keys.is_name(moved) then return place end
      local is_next, further = look(prefix, moved, name, id)
      if not is_next then return place end
      place, moved = moved, further
    end
    if there then return place end
  end
end

-- inspected: what inspect answers of one task, entry or key.

local INSPECT = {}

function INSPECT.tell(reply, kind, name, broken, mark, id)
  reply[3] = reply[3] + 1
  if #broken > 0 then reply[#reply + 1] = {kind, name, table.concat(broken, ' '), mark, id or ''} end
end

-- part: '' or what the last call answered, where the caller takes large keys in parts. Answers what the next part goes on from.
function INSPECT.key(reply, q, name, part)
  local home, id = nil, nil
  if part then home, id = FAMILY.of(q.prefix, name) end
  if home then
    local broken, rest = FAMILY.judge_part(home, id, part)
    if not rest then INSPECT.tell(reply, 'key', name, {broken or nil}, 'hash') end
    return rest
  end
  local broken, looked = key_faults(q.prefix, name)
  weigh(looked or 1)
  INSPECT.tell(reply, 'key', name, broken, type_of(q.prefix .. name))
end

function INSPECT.task(reply, q, id, now)
  weigh(4)
  local v = view_of(q, id)
  INSPECT.tell(reply, 'task', id, task_faults(q, v, now), mark_of(v), id)
end

function INSPECT.entry(reply, q, priority, found)
  local name, id = priority .. '/' .. found[1], found[2] and found[2][2] or ''
  local broken, mark = entry_faults(q, name, id)
  INSPECT.tell(reply, 'entry', name, broken, mark, id)
end

function INSPECT.pending(reply, q, priority, at)
  local name = priority .. '/' .. at
  INSPECT.tell(reply, 'pending', name, entry_at(q, name) and {} or {'dangling_pending'}, name)
end

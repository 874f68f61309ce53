-- inspect: what the verb inspect answers of one task, entry or key.
--
-- USES  budget, safe, task_view, task_rules, parent_rules, index_rules, key_rules

function inspect.tell(reply, kind, name, broken, mark, id)
  reply[3] = reply[3] + 1
  if #broken > 0 then reply[#reply + 1] = {kind, name, table.concat(broken, ' '), mark, id or ''} end
end

-- Inspect a key. part: '' or what the last call answered, if the caller takes large keys in parts. Answers where the next
-- part goes on.
function inspect.key(reply, q, name, part)
  local home, id = nil, nil
  if part then home, id = parent_rules.large(q.prefix, name) end
  if home then
    local broken, rest = parent_rules.judge_part(home, id, part)
    if not rest then inspect.tell(reply, 'key', name, {broken or nil}, 'hash') end
    return rest
  end
  if not part or part == '' then
    local broken, looked = key_rules.faults(q.prefix, name)
    budget.spend(looked or 1)
    inspect.tell(reply, 'key', name, broken, safe.type_of(q.prefix .. name))
  end
  local _, rest = index_rules.judge_part(q.prefix, name, part, function(stale)
    reply[#reply + 1] = {'key', stale, 'stale_index', 'none', ''}
  end)
  return rest
end

function inspect.task(reply, q, id, now)
  budget.spend(4)
  local v = task_view.read(q, id)
  inspect.tell(reply, 'task', id, task_rules.faults(q, v, now), task_view.mark(v), id)
end

function inspect.entry(reply, q, priority, found)
  local name, id = priority .. '/' .. found[1], found[2] and found[2][2] or ''
  local broken, mark = task_rules.entry_faults(q, name, id)
  inspect.tell(reply, 'entry', name, broken, mark, id)
end

function inspect.pending(reply, q, priority, at)
  local name = priority .. '/' .. at
  inspect.tell(reply, 'pending', name, task_view.entry_at(q, name) and {} or {'dangling_pending'}, name)
end

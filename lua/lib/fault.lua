-- fault: the rules that each task and stream entry keeps at every moment, and the names of those that are broken.

local function running_faults(v, now, broken)
  local most = v.most or 1000
  if not v.tries or v.tries < 1 or v.tries > most then broken[#broken + 1] = 'attempts' end
  if not v.claim or v.claim ~= v.tries then broken[#broken + 1] = 'token' end
  if (v.score.running or 0) > now + LONGEST_LEASE then broken[#broken + 1] = 'lease' end
end

local function task_faults(q, v, now)
  local broken, home = {}, HOME[v.state]
  if v.kind ~= 'hash' then
    if v.kind == 'none' and v.places == 0 or v.places == 0 and v.aside then return broken end
    return {not v.valid and 'bad_id' or v.kind == 'none' and 'missing' or 'wrong_type'}
  end
  if not home then
    broken[1] = 'unknown_state'
  else
    local there = v.score[home]
    if home == 'ready' then there = v.named end
    if not there and not (v.state == 'scheduled' and v.aside) then broken[1] = 'unindexed' end
    if v.places > (v.score[home] and 1 or 0) then broken[#broken + 1] = 'misplaced' end
  end
  if v.expiring then broken[#broken + 1] = 'expiring' end
  if v.state == 'running' then
    running_faults(v, now, broken)
  elseif v.state == 'scheduled' or v.state == 'held' or v.state == 'ready' then
    if malformed(v, v.state) then
      broken[#broken + 1] = 'malformed'
    elseif v.tries > v.most then
      broken[#broken + 1] = 'attempts'
    end
    local score = v.state ~= 'ready' and v.score[home]
    if score and not is_time(math.floor(score)) then broken[#broken + 1] = 'bad_time' end
  elseif home and (v.score[home] or 0) > now + LONGEST_KEPT then
    broken[#broken + 1] = 'retention'
  end
  tied_faults(q, v, now, broken)
  return broken
end

-- Of a stream entry and the id in it; and what must stay the same for it to be the same fault.
local function entry_faults(q, name, id)
  local task = is_id(id) and read(q.task .. id, 'state', 'entry') or {}
  local broken = task[1] == 'ready' and task[2] == name and {} or {'stray_entry'}
  return broken, table.concat({task[1] or '', task[2] or '', name}, '|')
end

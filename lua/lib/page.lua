-- page: bounded pages with a cursor that survives changes: a score and how many of that score were seen, or a stream entry.

local function set_page(set, cursor, limit, latest_first)
  local first, last = '-inf', '+inf'
  if latest_first then first, last = '+inf', '-inf' end
  local from, seen = string.match(cursor, '^([^ ]+) (%d+)$')
  if from and tonumber(from) then first, seen = from, tonumber(seen) else seen = 0 end
  local raw
  if latest_first then
    raw = redis.call('ZRANGE', set, first, last, 'BYSCORE', 'REV', 'LIMIT', seen, limit, 'WITHSCORES')
  else
    raw = redis.call('ZRANGE', set, first, last, 'BYSCORE', 'LIMIT', seen, limit, 'WITHSCORES')
  end
  local found, same = {}, 0
  for i = 1, #raw, 2 do
    found[#found + 1] = {raw[i], raw[i + 1]}
    same = (raw[i + 1] == raw[i - 1]) and same + 1 or 1
  end
  if #found < limit then return found, '' end
  local score = found[#found][2]
  if score == from then same = same + seen end
  return found, score .. ' ' .. string.format('%d', same)
end

local function stream_page(q, cursor, limit)
  local after, at = string.match(cursor, '^(%a+)/(%d+%-%d+)$')
  local found, started = {}, not after
  for _, priority in ipairs(PRIORITIES) do
    local first = '-'
    if priority == after then started, first = true, '(' .. at end
    if started and #found < limit then
      for _, entry in ipairs(redis.call('XRANGE', stream_of(q, priority), first, '+', 'COUNT', limit - #found)) do
        found[#found + 1] = {entry[2][2] or '', priority .. '/' .. entry[1]}
      end
    end
  end
  if #found < limit then return found, '' end
  return found, found[#found][2]
end

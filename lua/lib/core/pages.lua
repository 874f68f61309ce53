-- pages: bounded pages with a cursor that survives changes. A cursor is a score and how many members of that score were
-- seen, or a stream entry.
--
-- USES  safe, streams

-- Answers members with scores, the cursor of the next page, and a function that gives the cursor behind any of the members.
function pages.of_set(set, cursor, limit, latest_first)
  local first, last = '-inf', '+inf'
  if latest_first then first, last = '+inf', '-inf' end
  local from, seen = string.match(cursor, '^([^ ]+) (%d+)$')
  local score = tonumber(from or '')
  if score and score == score then                      -- not nan
    first, seen = from, math.min(tonumber(seen), safe.call('ZCOUNT', set, from, from) or 0)   -- some may have left since
  else
    seen = 0
  end
  local raw
  if latest_first then
    raw = safe.call('ZRANGE', set, first, last, 'BYSCORE', 'REV', 'LIMIT', seen, limit, 'WITHSCORES')
  else
    raw = safe.call('ZRANGE', set, first, last, 'BYSCORE', 'LIMIT', seen, limit, 'WITHSCORES')
  end
  local found = {}
  raw = raw or {}                                       -- a key of another type: nothing is there
  for i = 1, #raw, 2 do found[#found + 1] = {raw[i], raw[i + 1]} end
  local function after(at)
    local reached, same = found[at][2], 1
    while at > same and found[at - same][2] == reached do same = same + 1 end
    if reached == from then same = same + seen end
    return reached .. ' ' .. string.format('%d', same)
  end
  return found, #found < limit and '' or after(#found), after
end

function pages.of_streams(q, cursor, limit)
  local after, ms, n = string.match(cursor, '^(%a+)/(%d+)%-(%d+)$')
  if after and (#ms > 15 or #n > 15) then after = nil end   -- no stream id
  local found, started = {}, not after
  for _, priority in ipairs(streams.PRIORITIES) do
    local first = '-'
    if priority == after then started, first = true, '(' .. ms .. '-' .. n end
    if started and #found < limit then
      for _, entry in ipairs(safe.call('XRANGE', streams.of(q, priority), first, '+', 'COUNT', limit - #found) or {}) do
        found[#found + 1] = {entry[2][2] or '', priority .. '/' .. entry[1]}
      end
    end
  end
  if #found < limit then return found, '' end
  return found, found[#found][2]
end

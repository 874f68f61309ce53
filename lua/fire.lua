-- fire: make the tasks of slots that are due, if nobody did since, and say when each schedule is looked at next.
--
-- KEYS   due...       zset   {namespace}:due:<queue>, one per queue
-- ARGV   now          int    0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   decision...  words  for each schedule: number of its queue in KEYS, id, rev, slot (both as they were read), next slot,
--                            when that is due (ms; empty: its slot), missed, why, number of slots n, then n times slot, due.
--                            next slot: ms, every (the next one of a plain interval), = (unchanged), none (there are no more),
--                            malformed (pause it; why says what is wrong)
-- REPLY  {word...}           tasks made or kept for later; or stale (somebody was faster) | early | paused | gone: nothing was made
-- FLAGS  none
-- USES   clock, keys, check, trouble, stats, schedule, overlap, turn, firing

local queues = open_all(KEYS)
local now, prefix = clock(queues[1].prefix, ARGV[1]), queues[1].prefix
local answers, made, at = {}, {}, 2

-- Carry out the decision that begins at a place.
local function fire_one(q, s, first, slots)
  local answer = refusal_of(q, s, ARGV[first + 1], ARGV[first + 2], ARGV[first + 3], slots[#slots] and slots[#slots][2], now)
  if answer then return answer end
  if ARGV[first + 4] == 'malformed' then
    give_up(q, s, now, ARGV[first + 7])
  elseif pause_failed(q, s, now) then
    save_schedule(s)
  else
    tell_slots(q, s, 'missed', whole(ARGV[first + 6] or '', 0, 1e12) or 0, ARGV[first + 7], ARGV[first + 3])
    answer = fire_slots(q, s, slots, now)
    move_on(q, s, ARGV[first + 4], tonumber(ARGV[first + 5] or ''), now)
    made[q] = (made[q] or 0) + s.made
  end
  return answer or 'paused'
end

while at <= #ARGV do
  local n, slots = whole(ARGV[at + 8] or '', 0, 1000) or 0, {}
  for i = at + 9, at + 8 + 2 * n, 2 do slots[#slots + 1] = {ARGV[i] or '', tonumber(ARGV[i + 1] or '') or now} end
  local q, s = queues[tonumber(ARGV[at]) or 0] or queues[1], read_schedule(prefix, ARGV[at + 1])
  local ok, answer = pcall(fire_one, q, s, at, slots)
  if not ok then
    if not s or whose(q, answer) ~= 'own' then error(answer, 0) end
    give_up(q, s, now, 'a key of its runs cannot be used')
    answer = 'paused'
  end
  answers[#answers + 1] = tostring(answer)
  at = at + 9 + 2 * n
end
for q, n in pairs(made) do count_created(q, now, n) end
return answers

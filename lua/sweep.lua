-- sweep: remove finished and dead tasks whose retention has ended, the oldest beyond the caps, and consumers that are gone.
--
-- KEYS   due...         zset  {namespace}:due:<queue>, 1..16 queues
-- ARGV   now            int   0: the server's clock; a virtual clock's ms where the deployment allows it
-- ARGV   limit          int   1..500, most ids looked at in each set; a call ends sooner where they take long
-- ARGV   most_finished  int   finished tasks kept in a queue
-- ARGV   most_dead      int   dead tasks kept in a queue
-- REPLY  {removed, more}      tasks removed; 1 where there may be more to remove
-- FLAGS  allow-oom
-- USES   budget, clock, keys, read, trouble, drain, ready, ended, finish

local queues, limit = open_all(KEYS), math.min(tonumber(ARGV[2]), 500)
local now, most_finished, most_dead = clock(queues[1].prefix, ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[4])
local removed, more = 0, 0
local A_PAGE = 64
drain(queues[1])

-- Answers how many ids there were, and whether it did not come to their end.
local function sweep_page(q, set, wanted, most, is_final)
  local ids = redis.call('ZRANGE', set, '-inf', now, 'BYSCORE', 'LIMIT', 0, wanted)
  local extra = math.min(redis.call('ZCARD', set) - most, wanted)
  if extra > #ids then ids = redis.call('ZRANGE', set, 0, extra - 1) end
  if #ids == 0 then return 0 end
  local due = redis.call('ZMSCORE', q.due, unpack(ids))
  local gone, leaving, n, stopped = {}, {}, 0, false
  for i, id in ipairs(ids) do
    stopped = i > 1 and is_over()
    if stopped then break end
    weigh(1)
    local found = is_id(id) and read(q.task .. id, 'state', 'bound')
    local over = found and is_final(found[1])
    if over and due[i] then                                   -- somebody put it there: promote tells of it, then it goes
      redis.call('ZADD', set, 'XX', now + KEEP_FINISHED, id)
    else
      leaving[#leaving + 1] = id
      if over then                                            -- one that is live again only leaves the set
        local ok, trouble = pcall(forget, q, id, now, found[1], found[2], gone)   -- goes, though what it is entered in be unusable
        if not ok and whose(q, trouble) ~= 'own' then error(trouble, 0) end
        n = n + 1
      end
    end
  end
  if #gone > 0 then redis.call('UNLINK', unpack(gone)) end
  if #leaving > 0 then redis.call('ZREM', set, unpack(leaving)) end
  removed = removed + n
  return #ids, stopped or #leaving > 0 and #ids == wanted
end

local function sweep_set(q, set, most, is_final)
  local looked, goes_on = 0, true
  while goes_on do
    if looked > 0 and (looked >= limit or is_over()) then
      more = 1
      return
    end
    local n
    n, goes_on = sweep_page(q, set, math.min(A_PAGE, limit - looked), most, is_final)
    looked = looked + n
  end
end

for i, q in ipairs(SHARE.in_turn(queues, now)) do
  if SHARE.give(#queues - i + 1) then
    more = 1
    break
  end
  sweep_set(q, q.finished, most_finished, function(state) return FINISHED[state] end)
  sweep_set(q, q.dead, most_dead, function(state) return state == 'dead' end)
  drop_idle_consumers(q)
end
return {removed, more}

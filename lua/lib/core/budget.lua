-- budget: how much work a call has done and how much it may do. Work is counted in units that do not depend on the
-- machine; one plain task is one unit. So the same call on the same data stops at the same place. A verb that drains also
-- stops by a stopwatch and answers that there is more. Under a virtual clock the stopwatch is off, so that tests and
-- simulations repeat.
--
-- USES  clock

local LONGEST_HELD = 2500                               -- microseconds after which a call that drains stops
local MOST_UNITS = 600                                  -- of a call that drains
local processor_time                                    -- os.clock, where the server has it; else false

function budget.spend(units)
  local call = clock.call
  call.units = call.units + units
end

-- Microseconds from a clock that advances within a script: TIME stands still on some servers, and others have no os.clock.
local function microseconds()
  if processor_time == nil then
    local ok, found = pcall(function() return os.clock end)
    processor_time = ok and found or false
  end
  if processor_time then return processor_time() * 1e6 end
  local time = redis.call('TIME')
  return time[1] * 1e6 + time[2]
end

-- For how long the call has run. os.clock counts from no known time, so with it this begins at the first look.
local function held_for()
  local call = clock.call
  if not call.at then return 0 end
  local now = microseconds()
  call.since = call.since or (processor_time and now or call.at)
  return now - call.since
end

-- Whether a call that drains has to stop: by its units, or by the stopwatch, which is read every 16 units. A call that has
-- not spent anything goes on, so that each call does at least one thing.
function budget.is_spent(most)
  local call = clock.call
  if call.units == 0 then return false end
  if call.over or call.units >= (call.most or most or MOST_UNITS) then return true end
  if call.units < call.looks then return false end
  call.looks = call.units + 16
  call.over = held_for() > (call.longest or LONGEST_HELD)
  return call.over
end

-- Give a part of a call its share of the units and the time that are left. parts: how many parts are still to come, this one
-- included. Answers whether nothing is left.
function budget.share(parts)
  local call = clock.call
  call.most = call.units + (MOST_UNITS - call.units) / parts
  if parts > 1 or call.longest then
    local held = held_for()
    call.longest = held + (LONGEST_HELD - held) / parts
  end
  call.looks, call.over = call.units, false
  return budget.is_spent()
end

-- The queues that share a call, in an order that changes from call to call if the stopwatch may stop it. So none waits for
-- ever.
function budget.in_turn(list, now)
  if not clock.call.at or #list < 2 then return list end
  local turned, first = {}, now % #list
  for i = 1, #list do turned[i] = list[(first + i - 1) % #list + 1] end
  return turned
end

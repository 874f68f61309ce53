-- budget: how much work a call has done, in units that do not depend on the machine: a plain task is one. So that a call
-- with the same data does the same, its limits are units. A verb that drains may stop by a stopwatch besides, and answers
-- that there is more; not under a virtual clock, so that tests and simulations repeat.

local LONGEST_HELD = 2500                               -- microseconds after which a call that drains stops
local MOST_UNITS = 600                                  -- of a call that drains
local CALL = {units = 0, looks = 0}                     -- a library lives on between calls
local SHARE = {}                                        -- what a call and its parts may do
local processor_time                                    -- os.clock, where the server has it; else false

-- at: the server's time in microseconds; nil under a virtual clock.
function SHARE.new_call(at)
  CALL = {units = 0, looks = 0, at = at}
end

local function weigh(units) CALL.units = CALL.units + units end

-- Within a script either TIME stands still or os.clock is missing, as servers differ: the one that advances counts.
local function microseconds()
  if processor_time == nil then
    local ok, found = pcall(function() return os.clock end)
    processor_time = ok and found or false
  end
  if processor_time then return processor_time() * 1e6 end
  local time = redis.call('TIME')
  return time[1] * 1e6 + time[2]
end

-- For how long the call has run. The first look begins with os.clock, which counts from no known time.
local function held_for()
  if not CALL.at then return 0 end
  local now = microseconds()
  CALL.since = CALL.since or (processor_time and now or CALL.at)
  return now - CALL.since
end

-- Whether a call that drains has to stop: by its units, or by the stopwatch, at which every 16 units are a look. Never before it
-- has weighed something: each call does at least one thing.
local function is_over(most)
  if CALL.units == 0 then return false end
  if CALL.over or CALL.units >= (CALL.most or most or MOST_UNITS) then return true end
  if CALL.units < CALL.looks then return false end
  CALL.looks = CALL.units + 16
  CALL.over = held_for() > (CALL.longest or LONGEST_HELD)
  return CALL.over
end

-- Give a part of a call its share of the units and the time that are left to it and to those that follow; parts: how many.
-- Answers whether nothing is left.
function SHARE.give(parts)
  CALL.most = CALL.units + (MOST_UNITS - CALL.units) / parts
  if parts > 1 or CALL.longest then
    local held = held_for()
    CALL.longest = held + (LONGEST_HELD - held) / parts
  end
  CALL.looks, CALL.over = CALL.units, false
  return is_over()
end

-- Those that share a call, each call beginning with another one where the stopwatch may stop it: so none of them waits for ever.
function SHARE.in_turn(list, now)
  if not CALL.at or #list < 2 then return list end
  local turned, first = {}, now % #list
  for i = 1, #list do turned[i] = list[(first + i - 1) % #list + 1] end
  return turned
end

-- budget: how much work a call has done, in units that do not depend on the machine: a plain task is one. So that a call
-- with the same data does the same, its limits are units. A verb that drains may stop by a stopwatch besides, and answers
-- that there is more; not under a virtual clock, so that tests and simulations repeat.

local LONGEST_HELD = 2500                               -- microseconds after which a call that drains stops
local CALL = {units = 0, looks = 0}                     -- a library lives on between calls
local processor_time                                    -- os.clock, where the server has it; else false

-- at: the server's time in microseconds; nil under a virtual clock.
local function begin_call(at)
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

-- Whether the stopwatch stops a call that drains. The first look begins with os.clock, which counts from no known time.
local function held_long()
  if not CALL.at then return false end
  local now = microseconds()
  CALL.since = CALL.since or (processor_time and now or CALL.at)
  return now - CALL.since > LONGEST_HELD
end

-- Whether a call that drains has to stop: by its units, or by the stopwatch, at which every 16 units are a look.
local function is_over(most)
  if CALL.units >= most then return true end
  if CALL.units < CALL.looks then return false end
  CALL.looks = CALL.units + 16
  return held_long()
end

-- trouble: whose fault an error is. One record's: it is set aside, and those behind it go on. Keys that this caller may not
-- touch: the record is left for one who may. Keys that a whole queue shares, or the server: the call ends with it.

local EVERYBODYS = {'OOM ', 'MISCONF ', 'READONLY ', 'NOREPLICAS ', 'MOVED ', 'ASK ', 'TRYAGAIN ', 'CLUSTERDOWN ', 'CROSSSLOT ',
  'MASTERDOWN ', 'LOADING ', 'BUSY ', 'Script attempted', 'Write commands are not allowed', 'run this command', 'to run the',
  'RS_CLOCK', 'not enough memory'}
local DENIED = {'NOPERM', 'permissions to access', "can't access"}
local KINDS = {due = 'zset', held = 'zset', running = 'zset', finished = 'zset', dead = 'zset', quarantine = 'zset',
  ready = 'stream'}

local function problem_of(trouble) return tostring(type(trouble) == 'table' and trouble.err or trouble) end

local function names_one(problem, texts)
  for i = 1, #texts do
    if string.find(problem, texts[i], 1, true) then return true end
  end
  return false
end

local function is_everybodys(trouble) return names_one(problem_of(trouble), EVERYBODYS) end

-- Whether an error says that the caller has no right to a key.
local function is_denied(trouble) return names_one(problem_of(trouble), DENIED) end

local function is_kind(key, kind)
  local found = redis.pcall('TYPE', key)
  return not found.err and (found.ok == kind or found.ok == 'none')
end

-- Whether the keys that all tasks of a queue share can be read and have their types. Asked once a call, after an error.
local function is_sound(q)
  if q.sound == nil then
    q.sound = is_kind(q.ready .. ':high', 'stream') and is_kind(q.ready .. ':low', 'stream')
      and is_kind(q.prefix .. 'agenda', 'zset')
    for name, kind in pairs(KINDS) do q.sound = q.sound and is_kind(q[name], kind) end
  end
  return q.sound
end

-- own, denied, shared (by all tasks of the queue) or everybody's.
local function whose(q, trouble)
  if is_everybodys(trouble) then return 'everybody' end
  if string.find(problem_of(trouble), 'exhausted', 1, true) or not is_sound(q) then return 'shared' end
  return is_denied(trouble) and 'denied' or 'own'
end

-- Do step(at) for at = 1, 1 + by, ... up to last, until one answers true. Where a step fails, failed(at, trouble) is done in its
-- place, and the rest goes on unless that answers true.
local function for_each(last, by, step, failed)
  local at, over = 1, false
  while at <= last and not over do
    local ok, trouble = pcall(function()
      while at <= last and not over do
        over = step(at)
        at = at + by
      end
    end)
    if not ok then
      over = failed(at, trouble)
      at = at + by
    end
  end
end

-- errors: who is the cause of an error. One record: it is set aside, and those behind it go on. A key that this caller
-- may not touch: the record is left for a caller who may. A key that a whole queue shares, or the server: the call ends.
--
-- USES  nothing

local OF_SERVER = {'OOM ', 'MISCONF ', 'READONLY ', 'NOREPLICAS ', 'MOVED ', 'ASK ', 'TRYAGAIN ', 'CLUSTERDOWN ', 'CROSSSLOT ',
  'MASTERDOWN ', 'LOADING ', 'BUSY ', 'Script attempted', 'Write commands are not allowed', 'run this command', 'to run the',
  'RS_CLOCK', 'not enough memory'}
local DENIED = {'NOPERM', 'permissions to access', "can't access"}
local KINDS = {due = 'zset', held = 'zset', running = 'zset', finished = 'zset', dead = 'zset', quarantine = 'zset',
  ready = 'stream'}

function errors.text_of(trouble) return tostring(type(trouble) == 'table' and trouble.err or trouble) end

local function has_one_of(problem, texts)
  for i = 1, #texts do
    if string.find(problem, texts[i], 1, true) then return true end
  end
  return false
end

function errors.is_of_server(trouble) return has_one_of(errors.text_of(trouble), OF_SERVER) end

-- Whether an error says that the caller has no right to a key.
function errors.is_denied(trouble) return has_one_of(errors.text_of(trouble), DENIED) end

local function is_kind(key, kind)
  local found = redis.pcall('TYPE', key)
  return not found.err and (found.ok == kind or found.ok == 'none')
end

-- Whether the keys that all tasks of a queue share can be read and have the right types. Asked once a call, after an error.
local function is_sound(q)
  if q.sound == nil then
    q.sound = is_kind(q.ready .. ':high', 'stream') and is_kind(q.ready .. ':low', 'stream')
      and is_kind(q.prefix .. 'agenda', 'zset')
    for name, kind in pairs(KINDS) do q.sound = q.sound and is_kind(q[name], kind) end
  end
  return q.sound
end

-- The cause of an error: own (of the one record), denied (a right of the caller), shared (by all tasks of the queue) or
-- everybody (the server).
function errors.cause(q, trouble)
  if errors.is_of_server(trouble) then return 'everybody' end
  if string.find(errors.text_of(trouble), 'exhausted', 1, true) or not is_sound(q) then return 'shared' end
  return errors.is_denied(trouble) and 'denied' or 'own'
end

-- Do step(at) for at = 1, 1 + by, ... up to last, until one answers true. If a step fails, failed(at, trouble) is called
-- instead, and the loop goes on unless that answers true.
function errors.for_each(last, by, step, failed)
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

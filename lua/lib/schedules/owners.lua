-- owners: which application, or which file, a schedule belongs to. Of an application the newest version with a worker decides.
--
-- USES  keys, hash, schedules, versions

local MOST = 1000                                       -- schedules of one owner
local LEFT_OUT = 'left out of '

-- Why this owner may not put the schedule: other, newer or full; nil if it may. s: the schedule as it is, or nil.
function owners.refusal(prefix, s, owner, version, now)
  local has = s and s.f.owner
  if has and has ~= owner and versions.lives(prefix, has, nil, now) then return 'other' end
  local ruling = versions.ruling(prefix, owner, now)
  if ruling and versions.compare(ruling, version) > 0 then return 'newer' end
  return has ~= owner and redis.call('SCARD', prefix .. 'owned:' .. owner) >= MOST and 'full' or nil
end

-- Note whose a schedule is; the caller saves it.
function owners.note(s, owner, version)
  if s.f.owner ~= owner then redis.call('SADD', s.prefix .. 'owned:' .. owner, s.id) end
  schedules.set(s, 'owner', owner)
  schedules.set(s, 'owner_version', version)
end

-- Whether a schedule is paused because its application's code did not have it.
function owners.left_out(s)
  return string.sub(s.f.paused or '', 1, #LEFT_OUT) == LEFT_OUT
end

local AT_ONCE = 100                                     -- that one call pauses or drops

local function take_out(prefix, id, mode, reason, now)
  local s = mode ~= 'dry' and schedules.read(prefix, id)
  if s and mode == 'drop' then schedules.drop(s) end
  if s and mode == 'pause' then schedules.pause(keys.open(prefix .. 'due:' .. schedules.queue_of(s)), s, now, reason) end
end

-- Pause, drop or only name (mode: pause, drop, dry) the schedules of an owner that are not among those. Answers their ids: at
-- most as many as one call takes, so that there may be more.
function owners.leave_out(prefix, owner, version, mode, those, now)
  local set, found, reason = prefix .. 'owned:' .. owner, {}, LEFT_OUT .. owner .. (version ~= '-' and ' ' .. version or '')
  local ids = redis.call('SRANDMEMBER', set, MOST)
  table.sort(ids)
  for _, id in ipairs(ids) do
    if not those[id] then
      local f = keys.is_name(id) and hash.read(prefix .. 'schedule:' .. id, 'owner', 'paused', 'ended') or {}
      local rests = (f[2] or '') ~= '' or (f[3] or '') ~= ''
      if f[1] == owner and not (rests and mode == 'pause') then
        found[#found + 1] = id
        take_out(prefix, id, mode, reason, now)
      end
      if f[1] ~= owner and mode ~= 'dry' or mode == 'drop' then redis.call('SREM', set, id) end   -- it is gone, or another's
      if #found >= AT_ONCE and mode ~= 'dry' then break end
    end
  end
  return found
end

-- Which of the schedules from words[at] on the owner has, though another version of it put them last, or left them out.
function owners.changed(prefix, owner, version, words, at)
  local found = {}
  for i = at, #words do
    local id = words[i]
    local f = keys.is_name(id) and hash.read(prefix .. 'schedule:' .. id, 'owner', 'owner_version', 'paused') or {}
    local is_left_out = string.sub(f[3] or '', 1, #LEFT_OUT) == LEFT_OUT
    if f[1] == owner and (is_left_out or f[2] ~= version) then found[#found + 1] = id end
  end
  return found
end

-- claimed: what a consumer's last claim started, so that a call repeated after a lost reply starts nothing new.

local function remember_claim(key, nonce, starts, lease)
  local line = {nonce}
  for _, start in ipairs(starts) do line[#line + 1] = start.q.name .. '/' .. start.id end
  redis.call('SET', key, table.concat(line, ' '), 'PX', lease)
end

-- Appends to reply what an earlier call with this nonce answered, as far as its tasks still run; answers whether there was one. Nobody has
-- seen them, so a task whose start-by has passed meanwhile has not started: it is expired.
local function claimed_before(key, nonce, queues, now, reply)
  local line = soft('GET', key)
  if not line or string.sub(line, 1, #nonce + 1) ~= nonce .. ' ' then return false end
  local numbers = {}
  for number, q in ipairs(queues) do numbers[q.name] = number end
  for name, id in string.gmatch(string.sub(line, #nonce + 2), '([^ /]+)/(%S+)') do
    local number = numbers[name]
    local found = number and read(queues[number].task .. id, unpack(FIELDS))
    local token = found and redis.call('HGET', queues[number].task .. id, 'token')
    if found and found[1] == 'running' and token == found[5] .. '.' .. nonce then
      if (number_or('expires_at', found[8], 4e12) or 4e12) <= now then
        expire(queues[number], id, now, found[13], nil, 'attempt', text(math.max((tonumber(found[5]) or 1) - 1, 0)))
        redis.call('ZREM', queues[number].running, id)
      else
        reply[#reply + 1] = claim_answer(number, id, found, tonumber(found[5]), whole(found[9] or '', 1e11, 4e12) or now)
      end
    end
  end
  return true
end

-- Take from the streams what a claim has looked at: everything up to the last that was read, and what was rung for.
-- home: the queue of each stream; one that is stuck keeps all.
local function leave_streams(read_to, rung, home)
  for stream, at in pairs(read_to) do
    if not home[stream].stuck then
      redis.call('XTRIM', stream, 'MINID', at)
      redis.call('XDEL', stream, at)
    end
  end
  for stream, bells in pairs(rung) do
    for at in pairs(home[stream].stuck and {} or bells) do
      soft('XDEL', stream, at)
      soft('XACK', stream, 'workers', at)
    end
  end
end

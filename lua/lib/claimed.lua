-- claimed: what a consumer's last claim started, so that a call repeated after a lost reply starts nothing new.

local function remember_claim(key, nonce, starts, lease)
  local line = {nonce}
  for _, start in ipairs(starts) do line[#line + 1] = start.q.name .. '/' .. start.id end
  redis.call('SET', key, table.concat(line, ' '), 'PX', lease)
end

-- The answers of an earlier call with this nonce, as far as its tasks still run; nil where there was none. Nobody has
-- seen them, so a task whose start-by has passed meanwhile has not started: it is expired.
local function claimed_before(key, nonce, queues, now)
  local line = soft('GET', key)
  if not line or string.sub(line, 1, #nonce + 1) ~= nonce .. ' ' then return nil end
  local numbers, answers = {}, {}
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
        answers[#answers + 1] = claim_answer(number, id, found, tonumber(found[5]), whole(found[9] or '', 1e11, 4e12) or now)
      end
    end
  end
  return answers
end

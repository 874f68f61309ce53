-- last_claim: the memory of each consumer's last claim, by which a call that is repeated after a lost reply starts nothing new.
--
-- USES  clock, check, safe, hash, endings, claim

function last_claim.remember(key, queues, answers, order)
  local line, before = {order.nonce}, {}
  for i, q in ipairs(queues) do before[i] = ' ' .. q.name .. '/' end
  for i = 1, #answers do line[2 * i], line[2 * i + 1] = before[answers[i][1]], answers[i][2] end
  redis.call('SET', key, table.concat(line), 'PX', clock.text(order.lease))
end

-- Append to reply what an earlier call with this nonce answered, of its tasks that still run; answers whether there was such
-- a call. Its worker has not seen them, so a task whose start-by has passed meanwhile has not started: it expires.
function last_claim.repeated(key, nonce, queues, now, reply)
  local line = safe.call('GET', key)
  if not line or string.sub(line, 1, #nonce + 1) ~= nonce .. ' ' then return false end
  local numbers = {}
  for number, q in ipairs(queues) do numbers[q.name] = number end
  for name, id in string.gmatch(string.sub(line, #nonce + 2), '([^ /]+)/(%S+)') do
    local number = numbers[name]
    local found = number and hash.read(queues[number].task .. id, unpack(claim.FIELDS))
    local token = found and redis.call('HGET', queues[number].task .. id, 'token')
    if found and found[1] == 'running' and token == found[3] .. '.' .. nonce then
      if (check.number_or('expires_at', found[12], 4e12) or 4e12) <= now then
        endings.expire(queues[number], id, now, found[13], nil, 'attempt',
          clock.text(math.max((tonumber(found[3]) or 1) - 1, 0)))
        redis.call('ZREM', queues[number].running, id)
      else
        local due_at = check.whole(found[4] or '', 1e11, 4e12) or now
        reply[#reply + 1] = claim.answer_of(found, number, id, tonumber(found[3]), due_at)
      end
    end
  end
  return true
end

-- arguments: whether a call has the keys and arguments that its verb's header names. Every verb asks this before it begins.
-- Of arguments that repeat, only the number of words is checked, and that the first word of each names a key. The verb
-- judges the rest itself.
--
-- USES  nothing

function arguments.check(call_keys, args, shape)
  if #call_keys == 0 then return redis.error_reply('RS_KEYS there must be one key at least') end
  if #args < shape.least then return redis.error_reply('RS_INVALID 1 ' .. shape[#args + 1] .. ' is missing') end
  local more = #args - #shape
  if shape.each and more > 0 then
    if more % shape.each > 0 then return redis.error_reply('RS_INVALID 1 ' .. shape.repeats .. ' has too few words') end
    local last = nil
    for at = #shape + 1, shape.numbered and #args or 0, shape.each do
      if args[at] ~= last and not call_keys[tonumber(args[at])] then
        return redis.error_reply('RS_INVALID 1 ' .. shape.repeats .. ' has no number of a key')
      end
      last = args[at]
    end
  end
  for at, may_be_empty in pairs(shape.whole) do
    local given = args[at]
    if given and not (may_be_empty and given == '') and (#given > 15 or not string.find(given, '^%d+$')) then
      return redis.error_reply('RS_INVALID 1 ' .. shape[at] .. ' must be a whole number')
    end
  end
end

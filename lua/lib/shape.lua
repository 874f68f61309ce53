-- shape: whether a call has the keys and arguments that its verb's header names; each verb is looked at before it begins.
-- Of what repeats it looks at the number of words, and that the first of each names a key; the rest the verb itself judges.

local function misshapen(keys, args, shape)
  if #keys == 0 then return redis.error_reply('RS_KEYS there must be one key at least') end
  if #args < shape.least then return redis.error_reply('RS_INVALID 1 ' .. shape[#args + 1] .. ' is missing') end
  local more = #args - #shape
  if shape.each and more > 0 then
    if more % shape.each > 0 then return redis.error_reply('RS_INVALID 1 ' .. shape.repeats .. ' has too few words') end
    local last = nil
    for at = #shape + 1, shape.numbered and #args or 0, shape.each do
      if args[at] ~= last and not keys[tonumber(args[at])] then
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

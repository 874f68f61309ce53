-- memory: a verb that frees memory must run on a full server too. The function build says so with the flag allow-oom. The
-- EVALSHA build has no flags; there Redis checks memory only before a script's first write, and a write that removes an
-- empty range passes that check.
--
-- USES  nothing

function memory.drain(q)
  if EVALSHA then redis.call('ZREMRANGEBYRANK', q.due, '1', '0') end
end

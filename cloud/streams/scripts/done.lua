#!lua flags=allow-oom
-- Forgets entries that the database has. KEYS: stream, inflight. ARGV: group, then id and name of each entry.
-- A name that a later entry has taken over, as after a wipe, stays.
for i = 2, #ARGV, 2 do
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[i])
  redis.call('XDEL', KEYS[1], ARGV[i])
  if redis.call('HGET', KEYS[2], ARGV[i + 1]) == ARGV[i] then
    redis.call('HDEL', KEYS[2], ARGV[i + 1])
  end
end
return #ARGV

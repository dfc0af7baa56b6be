#!lua flags=allow-oom
-- Makes the group that reads a stream, also when memory is full: reading is what makes room. KEYS: stream. ARGV: group.
-- At 0, for what was queued before the group was there must be read too.
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
if made['err'] and string.sub(made['err'], 1, 9) ~= 'BUSYGROUP' then
  return made
end
return redis.status_reply('OK')

#!lua flags=allow-oom
-- Says that a writer lives, and forgets those that are silent. KEYS: writers. ARGV: owner, time to live in ms.
-- Returns how many live.
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now_ms + ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. string.format('%d', now_ms))
return redis.call('ZCARD', KEYS[1])

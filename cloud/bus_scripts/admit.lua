#!lua
-- Queues batches that are not in flight yet, and hints them to whoever watches.
-- KEYS: stream, inflight, bus, live (a channel). ARGV: a fresh bus id; name and body of claims ('' for none);
-- then name and body of each batch.
-- Returns the bus id, then for each batch 1 when it was queued and 0 when it was in flight already.
local bus = redis.call('GET', KEYS[3])
if not bus then
  bus = ARGV[1]
  redis.call('SET', KEYS[3], bus)
end
local reply = { bus }
local claims = ARGV[3]
for i = 4, #ARGV, 2 do
  local queued = 0
  if redis.call('HEXISTS', KEYS[2], ARGV[i]) == 0 then
    local id
    if claims == '' then
      id = redis.call('XADD', KEYS[1], '*', 'n', ARGV[i], 'b', ARGV[i + 1])
    else
      id = redis.call('XADD', KEYS[1], '*', 'n', ARGV[i], 'b', ARGV[i + 1], 'c', claims)
      claims = ''
    end
    redis.call('HSET', KEYS[2], ARGV[i], id)
    redis.call('SPUBLISH', KEYS[4], id .. ' ' .. ARGV[i] .. '\n' .. ARGV[i + 1])
    queued = 1
  end
  reply[#reply + 1] = queued
end
if claims ~= '' and redis.call('HEXISTS', KEYS[2], ARGV[2]) == 0 then
  redis.call('HSET', KEYS[2], ARGV[2], redis.call('XADD', KEYS[1], '*', 'n', ARGV[2], 'c', claims))
end
return reply

#!lua
-- Queues batches that are not in flight yet, and hints them to whoever watches.
-- KEYS: stream, inflight, bus. ARGV: the live channel and a fresh bus id; then for each call how many batches it has,
-- name and body of its claims ('' for none), and name and body of each batch. The channel is no key: a key that never
-- is there would make the script wait for as long as the slot is on its way to another node.
-- Returns the bus id, then for each batch of every call 1 when it was queued and 0 when it was in flight already.
local bus = redis.call('GET', KEYS[3])
if not bus then
  bus = ARGV[2]
  redis.call('SET', KEYS[3], bus)
end
local reply = { bus }
local at = 3
while at <= #ARGV do
  local claims_name, claims = ARGV[at + 1], ARGV[at + 2]
  local last = at + 1 + 2 * tonumber(ARGV[at])
  for i = at + 3, last, 2 do
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
      redis.call('SPUBLISH', ARGV[1], id .. ' ' .. ARGV[i] .. '\n' .. ARGV[i + 1])
      queued = 1
    end
    reply[#reply + 1] = queued
  end
  if claims ~= '' and redis.call('HEXISTS', KEYS[2], claims_name) == 0 then
    redis.call('HSET', KEYS[2], claims_name, redis.call('XADD', KEYS[1], '*', 'n', claims_name, 'c', claims))
  end
  at = last + 2
end
return reply

#!lua
-- Queues batches that are not in flight yet, and hints them to whoever watches.
-- KEYS: stream, inflight, bus. ARGV: the live channel and a fresh bus id; then for each call how many batches it has,
-- name and body of each, and if a + follows the number name and body of its claims. The channel is no key: a key that
-- never is there would make the script wait for as long as the slot is on its way to another node.
-- Returns the bus id, and a character for each batch of every call: 1 when it was queued, 0 when it was in flight.
local bus = redis.call('GET', KEYS[3])
if not bus then
  bus = ARGV[2]
  redis.call('SET', KEYS[3], bus)
end
local queued = {}
local at = 3
while at <= #ARGV do
  local count, plus = string.match(ARGV[at], '^(%d+)(%+?)$')
  local claims_at = at + 1 + 2 * tonumber(count)
  local claims = plus == '+' and ARGV[claims_at + 1]
  for i = at + 1, claims_at - 1, 2 do
    queued[#queued + 1] = '0'
    if redis.call('HEXISTS', KEYS[2], ARGV[i]) == 0 then
      local id
      if claims then
        id = redis.call('XADD', KEYS[1], '*', 'n', ARGV[i], 'b', ARGV[i + 1], 'c', claims)
        claims = false
      else
        id = redis.call('XADD', KEYS[1], '*', 'n', ARGV[i], 'b', ARGV[i + 1])
      end
      redis.call('HSET', KEYS[2], ARGV[i], id)
      redis.call('SPUBLISH', ARGV[1], id .. ' ' .. ARGV[i] .. '\n' .. ARGV[i + 1])
      queued[#queued] = '1'
    end
  end
  if claims and redis.call('HEXISTS', KEYS[2], ARGV[claims_at]) == 0 then
    redis.call('HSET', KEYS[2], ARGV[claims_at], redis.call('XADD', KEYS[1], '*', 'n', ARGV[claims_at], 'c', claims))
  end
  at = plus == '+' and claims_at + 2 or claims_at
end
return { bus, table.concat(queued) }

-- A member of those who share an ordered channel's streams says that it lives.
-- KEYS: members  ARGV: me, lease ms, how many streams
-- Returns how many of the streams are its share: the shares of all differ by one at most.
local now = server_ms()
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
-- By name, since each has to find the same order.
local all = redis.call('ZRANGE', KEYS[1], 0, -1)
table.sort(all)
local streams, share = tonumber(ARGV[3]), 0
for rank, name in ipairs(all) do
    if name == ARGV[1] then
        share = math.floor(streams / #all) + (rank <= streams % #all and 1 or 0)
    end
end
return share

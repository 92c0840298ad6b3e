-- Gives messages back: free for anyone, as often delivered as before.
-- KEYS: stream, lease  ARGV: group, me, lease ms, (id, deliveries)...
-- Returns how many, or -1 when the lease is lost.
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return -1 end
redis.call('PEXPIRE', KEYS[2], ARGV[3])
for i = 4, #ARGV, 2 do
    redis.call('XCLAIM', KEYS[1], ARGV[1], 'pontoon-free', 0, ARGV[i], 'RETRYCOUNT', ARGV[i + 1], 'JUSTID')
end
return (#ARGV - 3) / 2

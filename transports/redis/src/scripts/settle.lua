-- Acknowledges what this consumer holds; of a queue's messages nothing is left.
-- KEYS: stream, lease  ARGV: group, me, lease ms, whether to delete, ids...
-- Returns how many were pending, or -1 when the lease is lost.
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return -1 end
redis.call('PEXPIRE', KEYS[2], ARGV[3])
local done = redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, 5))
if ARGV[4] == '1' then redis.call('XDEL', KEYS[1], unpack(ARGV, 5)) end
return done

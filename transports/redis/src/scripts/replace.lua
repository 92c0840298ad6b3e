-- Stores a message's successor and settles the message, or does neither.
-- KEYS: stream, lease, target, held, due
-- ARGV: group, me, lease ms, whether to delete, id, delay: 'now', 'in' or 'at', its ms, field, value...
-- Returns 1, 0 when the message is not held any more, -1 when the lease is lost, -2 when the target is not there.
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return -1 end
redis.call('PEXPIRE', KEYS[2], ARGV[3])
local group, id = ARGV[1], ARGV[5]
local row = redis.call('XPENDING', KEYS[1], group, id, id, 1)[1]
if not row or row[2] ~= ARGV[2] then return 0 end
if redis.call('EXISTS', KEYS[3]) == 0 then return -2 end
put(KEYS[3], KEYS[4], KEYS[5], ARGV[6], ARGV[7], 8)
redis.call('XACK', KEYS[1], group, id)
if ARGV[4] == '1' then redis.call('XDEL', KEYS[1], id) end
return 1

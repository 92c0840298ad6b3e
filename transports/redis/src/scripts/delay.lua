-- Stores a message that waits.
-- KEYS: stream, held, due  ARGV: 'in' or 'at', ms, field, value...
-- Returns its id, empty while it waits, or nothing when the stream is not there.
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
return put(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2], 3)

-- What a publisher looks after now and then: the bounds of a stream, whoever reads it.
-- KEYS: stream  ARGV: ms of retention or 0, how many entries a stream without groups keeps or nothing
-- Returns how many entries went.
local stream, gone = KEYS[1], 0
if redis.call('EXISTS', stream) == 0 then return gone end
gone = retain(stream, ARGV[1], server_ms())
if ARGV[2] ~= '' and #redis.call('XINFO', 'GROUPS', stream) == 0 then
    gone = gone + redis.call('XTRIM', stream, 'MAXLEN', ARGV[2])
end
return gone

-- Everything that a consumer of an unordered channel has to look after now and then.
-- KEYS: stream, lease, held, due
-- ARGV: group, me, lease ms, count, prefix of leases, whether to look for orphans, whether to trim,
--   ms of retention or 0, ids to skip...
-- Returns {1 or 0 when the lease is lost, server's time in ms, entries {id, deliveries, fields}, whether more is due}.
local stream, lease = KEYS[1], KEYS[2]
local group, me, ttl, count = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local now = server_ms()
if redis.call('GET', lease) ~= me then return {0, now, {}, 0} end
redis.call('PEXPIRE', lease, ttl)
if #ARGV > 8 then redis.call('XACK', stream, group, unpack(ARGV, 9)) end
retain(stream, ARGV[8], now)
local more = move_due(stream, KEYS[3], KEYS[4], now)
local entries = {}
local function claim(rows)
    for _, row in ipairs(rows) do claim_one(stream, group, me, row, entries) end
end
claim(redis.call('XPENDING', stream, group, '-', '+', count, FREE))
if ARGV[6] == '1' then
    for _, other in ipairs(consumers(stream, group)) do
        if other.name ~= me and other.name ~= FREE and redis.call('EXISTS', ARGV[5] .. other.name) == 0 then
            if other.pending > 0 then
                if #entries < count then
                    claim(redis.call('XPENDING', stream, group, 'IDLE', ttl, '-', '+', count - #entries, other.name))
                end
            elseif string.sub(other.name, 1, #OURS) == OURS and other.idle > 10 * ttl then
                redis.call('XGROUP', 'DELCONSUMER', stream, group, other.name)
            end
        end
    end
end
if ARGV[7] == '1' then trim(stream) end
return {1, now, entries, more}

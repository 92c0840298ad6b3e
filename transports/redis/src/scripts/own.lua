-- Takes, keeps and reads one stream of an ordered channel. Only its owner reads it, and what others had comes first.
-- KEYS: stream, owner, held, due
-- ARGV: group, me, lease ms, count, whether it was owned, whether to trim,
--   ms of retention or 0, ids to skip...
-- Returns {1 owned, 0 lost, 2 another's; time in ms; entries {id, deliveries, fields}; whether more is due; id of the
-- last one read}.
local stream, owner = KEYS[1], KEYS[2]
local group, me, ttl, count = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local now = server_ms()
local holder = redis.call('GET', owner)
if holder ~= me then
    if ARGV[5] == '1' then return {0, now, {}, 0, ''} end
    if holder then return {2, now, {}, 0, ''} end
    redis.call('SET', owner, me, 'PX', ttl)
else
    redis.call('PEXPIRE', owner, ttl)
end
if #ARGV > 7 then redis.call('XACK', stream, group, unpack(ARGV, 8)) end
retain(stream, ARGV[7], now)
local more = move_due(stream, KEYS[3], KEYS[4], now)
local entries, rows, behind = {}, {}, false
for _, other in ipairs(consumers(stream, group)) do
    if other.name ~= me and other.pending > 0 then
        for _, row in ipairs(redis.call('XPENDING', stream, group, '-', '+', count, other.name)) do
            rows[#rows + 1] = row
        end
        behind = behind or other.pending > count
    end
end
table.sort(rows, function(a, b) return before(a[1], b[1]) end)
for at, row in ipairs(rows) do
    if at > count then behind = true break end
    claim_one(stream, group, me, row, entries)
end
local last = ''
if not behind and #entries < count then
    local read = redis.call('XREADGROUP', 'GROUP', group, me, 'COUNT', count - #entries, 'STREAMS', stream, '>')
    if read then
        for _, entry in ipairs(read[1][2]) do entries[#entries + 1] = {entry[1], 1, entry[2]} end
    end
end
if ARGV[6] == '1' then trim(stream) end
for _, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local found = table_of(info)
    if found.name == group then last = found['last-delivered-id'] end
end
return {1, now, entries, more, last}

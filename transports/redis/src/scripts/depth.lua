-- How many messages one stream holds for one group.
-- KEYS: stream, due  ARGV: group, whether a settled message is deleted
-- Returns {ready, delayed, in flight, exact}, or nothing when the group is not there.
local group
for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local found = table_of(info)
    if found.name == ARGV[1] then group = found end
end
if not group then return false end
local free = #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 10000, FREE)
local unread, exact = group.lag, 1
if ARGV[2] == '1' then
    unread = redis.call('XLEN', KEYS[1]) - group.pending
elseif not unread then
    local rows = redis.call('XRANGE', KEYS[1], '(' .. group['last-delivered-id'], '+', 'COUNT', 10000)
    unread = #rows
    if unread == 10000 then exact = 0 end
end
return {unread + free, redis.call('ZCARD', KEYS[2]), group.pending - free, exact}

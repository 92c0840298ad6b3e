-- Removes what is ready, up to an id, some of it at a time.
-- KEYS: stream  ARGV: group, last id to go, whether a settled message is deleted
-- Returns {how many went, whether there is more}.
local group
for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local found = table_of(info)
    if found.name == ARGV[1] then group = found end
end
if not group then return {0, 0} end
local gone = 0
for _, row in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], '-', ARGV[2], 500, FREE)) do
    gone = gone + redis.call('XACK', KEYS[1], ARGV[1], row[1])
    if ARGV[3] == '1' then redis.call('XDEL', KEYS[1], row[1]) end
end
local rows = redis.call('XRANGE', KEYS[1], '(' .. group['last-delivered-id'], ARGV[2], 'COUNT', 500)
for _, row in ipairs(rows) do
    if ARGV[3] == '1' then redis.call('XDEL', KEYS[1], row[1]) end
end
if #rows > 0 then redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], rows[#rows][1]) end
gone = gone + #rows
return {gone, gone > 0 and 1 or 0}

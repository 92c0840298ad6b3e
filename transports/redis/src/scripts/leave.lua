-- A consumer goes: what it held is free for others, as lost deliveries.
-- KEYS: stream, lease  ARGV: group, me
if redis.call('GET', KEYS[2]) == ARGV[2] then redis.call('DEL', KEYS[2]) end
local function quiet(...)
    local got = redis.pcall(...)
    return type(got) == 'table' and not got.err and got or {}
end
-- Each turn takes some of them away; the bound is there for a server that does not.
for _ = 1, 10000 do
    local rows = quiet('XPENDING', KEYS[1], ARGV[1], '-', '+', 256, ARGV[2])
    if #rows == 0 then break end
    for _, row in ipairs(rows) do
        redis.call('XCLAIM', KEYS[1], ARGV[1], 'pontoon-free', 0, row[1], 'JUSTID')
    end
end
quiet('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1

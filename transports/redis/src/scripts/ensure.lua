-- Declares a channel: everything is compared before anything is made.
-- KEYS: facts, streams...  ARGV: implied, count, (field, value) * count, (group, start)...
-- Returns nothing, or {field, held, asked}.
local held, names, kind = {}, {}, nil
local flat = redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do held[flat[i]] = flat[i + 1] end
for i = 2, #KEYS do
    local found = redis.call('TYPE', KEYS[i]).ok
    if found ~= 'none' and found ~= 'stream' then return {'type of key', found, 'stream'} end
end
local implied, fields = ARGV[1] == '1', tonumber(ARGV[2])
-- What takes dead letters may always be declared as that; what was so far only that may be declared as itself.
local known = held.kind ~= nil
local lenient = known and (implied and held.takes_dead_letters == '1' or held.implied == '1')
local write = not known
for i = 3, 2 + fields * 2, 2 do
    local name, asked = ARGV[i], ARGV[i + 1]
    local must = not lenient or name == 'kind' or (name == 'order' and not implied)
    if known and must and held[name] ~= asked then return {name, held[name] or '', asked} end
end
if known and held.implied == '1' and not implied then write = true end
if write then
    redis.call('HSET', KEYS[1], 'implied', implied and '1' or '0', unpack(ARGV, 3, 2 + fields * 2))
end
for i = 2, #KEYS do
    local groups = {}
    for at = 3 + fields * 2, #ARGV, 2 do groups[#groups + 1] = {ARGV[at], ARGV[at + 1]} end
    if redis.call('EXISTS', KEYS[i]) == 0 then
        -- A stream without entries comes only with a group.
        redis.call('XGROUP', 'CREATE', KEYS[i], 'pontoon-none', '$', 'MKSTREAM')
        redis.call('XGROUP', 'DESTROY', KEYS[i], 'pontoon-none')
    end
    local there = {}
    for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[i])) do there[info[2]] = true end
    for _, group in ipairs(groups) do
        if not there[group[1]] then redis.call('XGROUP', 'CREATE', KEYS[i], group[1], group[2]) end
    end
end
return {}

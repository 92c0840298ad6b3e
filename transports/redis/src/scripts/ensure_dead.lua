-- Declares the queue that takes a channel's dead letters, unless it is there, and marks it as that.
-- KEYS: facts, stream  ARGV: group, (field, value)...
-- Returns nothing, or {field, held, asked}.
local found = redis.call('TYPE', KEYS[2]).ok
if found ~= 'none' and found ~= 'stream' then return {'type of key', found, 'stream'} end
local kind = redis.call('HGET', KEYS[1], 'kind')
if kind and kind ~= 'queue' then return {'kind', kind, 'queue'} end
if not kind then
    redis.call('HSET', KEYS[1], 'implied', '1', unpack(ARGV, 2))
end
redis.call('HSET', KEYS[1], 'takes_dead_letters', '1')
if not kind and found == 'none' then
    redis.call('XGROUP', 'CREATE', KEYS[2], ARGV[1], '0', 'MKSTREAM')
end
return {}

-- Stores an entry, at once or to be moved when it is due; its id.
local function put(stream, held, due, when, ms, first)
    local at = tonumber(ms)
    if when ~= 'now' then
        local time = redis.call('TIME')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        if when == 'in' then at = now + at end
        if at > now then
            local id = redis.call('XADD', held, '*', unpack(ARGV, first))
            redis.call('ZADD', due, at, id)
            return ''
        end
    end
    return redis.call('XADD', stream, '*', unpack(ARGV, first))
end

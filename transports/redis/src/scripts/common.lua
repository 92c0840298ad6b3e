local FREE, OURS = 'pontoon-free', 'pontoon-'

local function server_ms()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function table_of(flat)
    local found = {}
    for i = 1, #flat, 2 do found[flat[i]] = flat[i + 1] end
    return found
end

local function consumers(stream, group)
    local found = {}
    for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do found[#found + 1] = table_of(info) end
    return found
end

local function before(a, b)
    local a_ms, a_seq = string.match(a, '(%d+)-(%d+)')
    local b_ms, b_seq = string.match(b, '(%d+)-(%d+)')
    if a_ms ~= b_ms then return tonumber(a_ms) < tonumber(b_ms) end
    return tonumber(a_seq) < tonumber(b_seq)
end

-- What was deleted meanwhile is not given, and no longer pending.
local function claim_one(stream, group, me, row, entries)
    local got = redis.call('XCLAIM', stream, group, me, 0, row[1])
    if got[1] then entries[#entries + 1] = {got[1][1], row[4] + 1, got[1][2]} end
end

-- What is due goes into the stream, one whole step for each, until there is no room; 1 when there may be more.
local function move_due(stream, held, due, now)
    local ids = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, 128)
    for _, id in ipairs(ids) do
        local entry = redis.call('XRANGE', held, id, id)[1]
        if entry then
            local fields = entry[2]
            fields[#fields + 1] = 'pontoon-stored'
            fields[#fields + 1] = string.match(id, '%d+')
            local added = redis.pcall('XADD', stream, '*', unpack(fields))
            if type(added) == 'table' and added.err then return 0 end
            redis.call('XDEL', held, id)
        end
        redis.call('ZREM', due, id)
    end
    return #ids == 128 and 1 or 0
end

-- What is older than the channel's retention goes, read or not; how many.
local function retain(stream, ms, now)
    if ms == '0' then return 0 end
    return redis.call('XTRIM', stream, 'MINID', string.format('%.0f', math.max(now - tonumber(ms), 0)))
end

-- A topic keeps what its slowest subscription has not settled.
local function trim(stream)
    local low
    for _, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
        local group = table_of(info)
        local from = group['last-delivered-id']
        if group.pending > 0 then from = redis.call('XPENDING', stream, group.name)[2] end
        if not low or before(from, low) then low = from end
    end
    if low then redis.call('XTRIM', stream, 'MINID', '=', low) end
end

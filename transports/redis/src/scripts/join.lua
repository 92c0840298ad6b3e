-- A consumer of an unordered channel comes: its lease begins.
-- KEYS: lease  ARGV: me, lease ms
-- Returns the server's time in ms.
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return server_ms()

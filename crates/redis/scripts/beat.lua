-- Says that an instance lives, drops those that have not said so in time, and tells how many live, and whether this one
-- is new (1) or has been known to live (0).
--
-- KEYS[1] the instances, by when each is taken for dead
-- ARGV[1] the instance, ARGV[2] for how long it is taken to live, in milliseconds

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local new = redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if last[2] then redis.call('PEXPIREAT', KEYS[1], last[2]) end
return { redis.call('ZCARD', KEYS[1]), new }

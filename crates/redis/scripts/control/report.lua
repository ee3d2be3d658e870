-- Keeps an instance's report until it is taken for dead, and drops those of instances that are.
--
-- KEYS[1] the record and what goes with it, KEYS[2] the amendments, KEYS[3] the reports, KEYS[4] the same by when each instance is
-- taken for dead; ARGV[1] the instance, ARGV[2] its report, ARGV[3] for how long, in microseconds
-- The reply: the clock, the version, the revision, and how many amendments there are

redis.call('HSET', KEYS[3], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[4], text(now + ARGV[3]), ARGV[1])
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', text(now))) do
  redis.call('HDEL', KEYS[3], dead)
  redis.call('ZREM', KEYS[4], dead)
end
local last = redis.call('ZREVRANGE', KEYS[4], 0, 0, 'WITHSCORES')[2]
if last then
  -- Whole milliseconds, rounded up: what is read meanwhile goes by the microsecond.
  local ends = text(math.floor(last / 1000) + 1)
  redis.call('PEXPIREAT', KEYS[3], ends)
  redis.call('PEXPIREAT', KEYS[4], ends)
end
local control = redis.call('HMGET', KEYS[1], 'version', 'revision')
return { text(now), control[1] or '0', control[2] or '0', redis.call('LLEN', KEYS[2]) }

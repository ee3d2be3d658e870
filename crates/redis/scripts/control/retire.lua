-- Drops the report of an instance that ends.
--
-- KEYS[1] the reports, KEYS[2] the same by when each instance is taken for dead; ARGV[1] the instance

redis.call('HDEL', KEYS[1], ARGV[1])
return redis.call('ZREM', KEYS[2], ARGV[1])

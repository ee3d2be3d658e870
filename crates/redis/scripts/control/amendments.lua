-- Amendments from a number on, and the revision that they are upon.
--
-- KEYS[1] the record and what goes with it, KEYS[2] the amendments; ARGV[1] the first one's place, ARGV[2] the last one's, from 0

return {
  redis.call('HGET', KEYS[1], 'revision') or '0', redis.call('LLEN', KEYS[2]),
  redis.call('LRANGE', KEYS[2], ARGV[1], ARGV[2]),
}

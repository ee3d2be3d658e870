-- Keeps a chunk of an image, which is not kept for long before it is whole.
--
-- KEYS[1] the image, KEYS[2] the sizes of those that are whole
-- ARGV[1] its name, ARGV[2] the chunk's number, ARGV[3] the chunk, ARGV[4] for how long, in milliseconds

redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 then redis.call('PEXPIRE', KEYS[1], ARGV[4]) end
return 1

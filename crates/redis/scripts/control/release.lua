-- Ends the lock, if it is this instance's under this token. The token stays known.
--
-- KEYS[1] the lock; ARGV[1] the instance, ARGV[2] its token; the reply: 1 if it was ended

local fence, holder = held(KEYS[1])
if holder ~= ARGV[1] or fence ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], 'holder', 'ends', 'lives')
return 1

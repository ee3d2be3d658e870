-- Forgets images, if who asks holds the lock.
--
-- KEYS[1] the lock, KEYS[2] the sizes of images that are whole, KEYS[3..] the images; ARGV[1] the token, ARGV[2..] their names

local fence, holder = held(KEYS[1])
if fence ~= ARGV[1] then return { 'stale', fence, '', '0' } end
if not holder then return { 'expired', '0', '', '0' } end
for i = 2, #ARGV do
  redis.call('HDEL', KEYS[2], ARGV[i])
  redis.call('UNLINK', KEYS[i + 1])
end
return { 'forgotten', text(#ARGV - 1), '', '0' }

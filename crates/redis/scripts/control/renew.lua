-- Has the lock live on, if it still does, and is this instance's under this token.
--
-- KEYS[1] the lock; ARGV[1] the instance, ARGV[2] its token, ARGV[3] for how long from now, in microseconds; the reply: 1 if so

local fence, holder = held(KEYS[1])
if holder ~= ARGV[1] or fence ~= ARGV[2] then return 0 end
hold(KEYS[1], fence, ARGV[1], ARGV[3])
return 1

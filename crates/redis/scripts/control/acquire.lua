-- Gives the lock to an instance, unless another one holds it; the one that holds it keeps it, under the same token. A new token is
-- above all before it, and not below the clock: so it differs from those of a state that was lost.
--
-- KEYS[1] the lock; ARGV[1] the instance, ARGV[2] for how long, in microseconds; the reply: its token, or nothing

local fence, holder = held(KEYS[1])
if holder and holder ~= ARGV[1] then return false end
if not holder then fence = text(math.max(tonumber(fence) + 1, now)) end
hold(KEYS[1], fence, ARGV[1], ARGV[2])
return fence

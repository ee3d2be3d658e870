-- The driver's lock: the newest fencing token, who holds it, when that ends, and for how long it was given. It outlives
-- whoever held it, because tokens only grow.

-- The newest token, the holder if the lock lives, and when it ends. A clock that was set back by more than what a lock had left ends it.
local function held(key)
  local lock = redis.call('HMGET', key, 'fence', 'holder', 'ends', 'lives')
  local fence, ends = lock[1] or '0', tonumber(lock[3] or '0')
  if not lock[2] or now >= ends or ends - now > tonumber(lock[4] or '0') then return fence, nil, 0 end
  return fence, lock[2], ends
end

local function hold(key, fence, holder, lives)
  redis.call('HSET', key, 'fence', fence, 'holder', holder, 'ends', text(now + lives), 'lives', lives)
end


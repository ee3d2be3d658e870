-- All that a fleet has agreed on, at one instant.
--
-- KEYS[1] the record and what goes with it, KEYS[2] the lock, KEYS[3] the amendments, KEYS[4] the reports, KEYS[5] the same by when
-- each instance is taken for dead

-- Of a call's arguments, which lie on Lua's stack.
local MOST = 1000

local control = redis.call('HMGET', KEYS[1], 'version', 'revision', 'record')
local fence, holder, ends = held(KEYS[2])
local live = redis.call('ZRANGEBYSCORE', KEYS[5], '(' .. text(now), '+inf')
local instances, reports = {}, {}
for first = 1, #live, MOST do
  local last = math.min(first + MOST - 1, #live)
  for i, report in ipairs(redis.call('HMGET', KEYS[4], unpack(live, first, last))) do
    if report then
      instances[#instances + 1] = live[first + i - 1]
      reports[#reports + 1] = report
    end
  end
end
return {
  text(now), control[1] or '0', control[2] or '0', control[3], redis.call('LLEN', KEYS[3]),
  holder or false, fence, text(math.max(ends - now, 0)), instances, reports,
}

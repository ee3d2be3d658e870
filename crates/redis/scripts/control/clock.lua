-- The first part of every script here: the server's clock, in microseconds since the Unix epoch, and whole numbers as text.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function text(number)
  return string.format('%.0f', number)
end


-- Says that an image is whole, if all its chunks are there.
--
-- KEYS[1] the image, KEYS[2] the sizes of those that are whole
-- ARGV[1] its name, ARGV[2] its size, ARGV[3] that of each chunk but the last one; the reply: 1 if so

local size, chunk = tonumber(ARGV[2]), tonumber(ARGV[3])
for number = 0, math.ceil(size / chunk) - 1 do
  if redis.call('HSTRLEN', KEYS[1], number) ~= math.min(chunk, size - number * chunk) then return 0 end
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('PERSIST', KEYS[1])
return 1

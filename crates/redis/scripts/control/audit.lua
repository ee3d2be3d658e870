-- The audit trail: a stream whose entries are numbered, and each of which is chained to the one before. The chain is worked out
-- by whoever appends, and taken only where it goes on from the last entry, so that it cannot fork.

-- What an entry's time may be behind the clock, in microseconds: it was asked for just now.
local DELAY = 10000000

-- The number of the last entry, its chain, and its time.
local function last(control, audit)
  local head = redis.call('HMGET', control, 'audited', 'chain', 'at')
  if head[1] then return head[1], head[2], tonumber(head[3]) end
  -- What told of it is gone, and the trail is not: it goes on.
  local newest = redis.call('XREVRANGE', audit, '+', '-', 'COUNT', 1)[1]
  if not newest then return '0', string.rep('\0', 32), 0 end
  local fields = {}
  for i = 1, #newest[2], 2 do fields[newest[2][i]] = newest[2][i + 1] end
  return string.match(newest[1], '^%d+'), fields.chain, tonumber(fields.at)
end

-- ARGV[first] the number of the entry that these go on from, then its chain, the time of these, how many entries are kept,
-- and of each its bytes and its chain. Where they go on from another, nothing is done, and the answer is where to go on from.
-- It comes before all other writes: what can fail fails here.
local function append(control, audit, first)
  if #ARGV < first + 4 then return nil end
  local number, chain, latest = last(control, audit)
  local at = tonumber(ARGV[first + 2])
  local clock = math.max(now, latest)
  if ARGV[first] ~= number or ARGV[first + 1] ~= chain or at < latest or at > clock or at < clock - DELAY then
    return { 'head', number, chain, text(clock) }
  end
  local entry = tonumber(number)
  for i = first + 4, #ARGV, 2 do
    entry = entry + 1
    redis.call('XADD', audit, 'MAXLEN', '~', ARGV[first + 3], text(entry) .. '-0',
      'at', ARGV[first + 2], 'before', chain, 'bytes', ARGV[i], 'chain', ARGV[i + 1])
    chain = ARGV[i + 1]
  end
  redis.call('HSET', control, 'audited', text(entry), 'chain', chain, 'at', ARGV[first + 2])
end

-- Those who listen look for themselves, so it is no matter if nobody may be told.
local function hint(channel, message)
  redis.pcall('PUBLISH', channel, message)
end


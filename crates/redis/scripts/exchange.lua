-- Executes one batch: asks of shared buckets under one tag. What it does is what crates/redis-model does, step by step.
--
-- KEYS[1]   the life of the tag's state
-- KEYS[2]   the last reply to this instance
-- KEYS[3..] the bucket of each ask
-- ARGV[1]   the batch, ARGV[2] its asks; the reply: doubles, little-endian, laid out as in src/wire.rs
--
-- Times are microseconds, instants since the Unix epoch. Everything is read before anything is written.

local TOKEN_BUCKET, FIXED_WINDOW, SLIDING_WINDOW, CONCURRENCY = 0, 1, 2, 3
-- The length of a window that is a calendar month in UTC.
local MONTH = -1
local NONE = -1
-- What sums of fractions may be off by: a token that is there up to this is there.
local ROUNDING = 1e-9
local DAY = 86400000000
-- A tag that nobody has asked for in 31 days has no life; a reply is not asked for again after a minute. Milliseconds.
local LIFE_KEPT, REPLY_KEPT = '2678400000', '60000'

local BATCH, ASK = '<dddddddd', '<ddddddddddddddd'
local LIFE, BUCKET = '<dddd', '<dddddddd'
local LIFE_SIZE, BUCKET_SIZE, ASK_SIZE = 32, 64, 120
-- Of requests in flight: CONCURRENCY, until when it is blocked; then of each instance its number, what it holds, what it lacks, and
-- until when that counts.
local SLOTS, ENTRY = '<dd', '<dddd'
local SLOTS_SIZE, ENTRY_SIZE = 16, 32

local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min

-- Months since the beginning of the year 0 (Hinnant, chrono-compatible low-level date algorithms: years begin in March).
local function month_index(at)
  local days = floor(at / DAY) + 719468
  local era = floor(days / 146097)
  local day = days - era * 146097
  local year = floor((day - floor(day / 1460) + floor(day / 36524) - floor(day / 146096)) / 365)
  day = day - (365 * year + floor(year / 4) - floor(year / 100))
  return (era * 400 + year) * 12 + floor((5 * day + 2) / 153) + 2
end

local function month_start(number)
  local months = number - 2
  local year, month = floor(months / 12), months % 12
  local era = floor(year / 400)
  year = year - era * 400
  local day = floor((153 * month + 2) / 5) + 365 * year + floor(year / 4) - floor(year / 100)
  return (era * 146097 + day - 719468) * DAY
end

-- The number of the window that holds an instant.
local function index(window, at)
  if window == MONTH then return month_index(at) end
  return floor(at / window)
end

local function start(window, number)
  if window == MONTH then return month_start(number) end
  return number * window
end

-- How much of its present window is left, and how long that is.
local function left(bucket)
  local number = index(bucket.window, bucket.at)
  local ends = start(bucket.window, number + 1)
  return ends - bucket.at, ends - start(bucket.window, number)
end

-- All that is spent.
local function total(bucket)
  if bucket.algorithm ~= SLIDING_WINDOW then return bucket.spent end
  local rest, length = left(bucket)
  return bucket.spent + bucket.before * (rest / length)
end

local function refilled(bucket, time)
  return bucket.quota * time / bucket.window
end

-- Time passes, under the limit that the bucket was left with.
local function advance(bucket, now)
  now = max(now, bucket.at)
  if bucket.algorithm == TOKEN_BUCKET then
    bucket.spent = max(bucket.spent - refilled(bucket, now - bucket.at), 0)
  else
    local windows = index(bucket.window, now) - index(bucket.window, bucket.at)
    if bucket.algorithm == FIXED_WINDOW then
      bucket.spent = max(bucket.spent - windows * bucket.capacity, 0)
    elseif windows > 0 then
      bucket.before = windows == 1 and bucket.spent or 0
      bucket.spent = 0
    end
  end
  bucket.at = now
end

local function fresh(ask, now)
  return { algorithm = ask.algorithm, window = ask.window, quota = ask.quota, capacity = ask.capacity,
    at = now, spent = 0, before = 0, blocked_until = 0 }
end

-- The bucket goes by another limit, if what is spent is a debt of one capacity of it at most.
local function adopt(bucket, ask)
  local spent = total(bucket)
  if spent > 2 * ask.capacity then return end
  if bucket.algorithm ~= ask.algorithm or bucket.window ~= ask.window then
    bucket.spent, bucket.before = spent, 0
  end
  bucket.algorithm, bucket.window, bucket.quota, bucket.capacity = ask.algorithm, ask.window, ask.quota, ask.capacity
end

-- Gives tokens, from the present window first: never more than a full bucket.
local function give(bucket, tokens)
  local beyond = max(tokens - bucket.spent, 0)
  bucket.spent = max(bucket.spent - tokens, 0)
  if beyond > 0 and bucket.algorithm == SLIDING_WINDOW then
    local rest, length = left(bucket)
    bucket.before = max(bucket.before - beyond * (length / rest), 0)
  end
end

-- Gives leased tokens, as far as they have not been given since in another way: see `Bucket::give_back` in the model.
local function give_back(bucket, tokens, leased_at)
  if bucket.algorithm == TOKEN_BUCKET then
    local age = max(bucket.at - leased_at, 0)
    bucket.spent = max(bucket.spent - max(tokens - refilled(bucket, age), 0), 0)
    return
  end
  local windows = index(bucket.window, bucket.at) - index(bucket.window, leased_at)
  if windows == 0 then
    bucket.spent = max(bucket.spent - tokens, 0)
  elseif windows == 1 and bucket.algorithm == SLIDING_WINDOW then
    bucket.before = max(bucket.before - tokens, 0)
  end
end

-- Until no more than `target` is spent, which is less than what is spent now.
local function until_spent(bucket, target)
  if bucket.algorithm == TOKEN_BUCKET then
    return max(ceil((bucket.spent - target) * bucket.window / bucket.quota), 1)
  end
  if bucket.algorithm == FIXED_WINDOW then
    local windows = max(ceil((bucket.spent - target) / bucket.capacity), 1)
    return start(bucket.window, index(bucket.window, bucket.at) + windows) - bucket.at
  end
  local rest, length = left(bucket)
  if bucket.spent <= target then
    return max(ceil(rest - length * ((target - bucket.spent) / bucket.before)), 1)
  end
  return max(ceil(rest + length * (1 - target / bucket.spent)), 1)
end

-- Does all that one ask says, in the order of its fields; gives the tokens leased, what is spent, until there is a token, until
-- the window ends, and until a block does.
local function execute(bucket, ask, batch)
  advance(bucket, batch.now)
  adopt(bucket, ask)
  if batch.lost and ask.floor_spent ~= NONE and (ask.floor_ends > 0 or ask.algorithm == TOKEN_BUCKET) then
    bucket.spent = bucket.spent + max(ask.floor_spent - total(bucket), 0)
  end
  if ask.reset ~= 0 then
    for name, value in pairs(fresh(ask, batch.now)) do bucket[name] = value end
  end
  if ask.block ~= NONE then
    bucket.blocked_until = ask.block > 0 and batch.now + ask.block or 0
  end
  if ask.unspent > 0 then give_back(bucket, ask.unspent, ask.leased_at) end
  if ask.credit > 0 then give(bucket, ask.credit) end
  if ask.debit > 0 then
    -- Debt is one capacity at most.
    bucket.spent = bucket.spent + min(ask.debit, max(2 * ask.capacity - total(bucket), 0))
  end
  local blocked = max(bucket.blocked_until - batch.now, 0)
  local tokens = 0
  if batch.settling == 0 and blocked == 0 then
    local room = max(floor(ask.capacity - total(bucket) + ROUNDING), 0)
    tokens = min(ask.wanted, room, max(ask.waiting, floor(room / (2 * batch.instances))))
  end
  bucket.spent = bucket.spent + tokens
  local spent, wait, ends = total(bucket), 0, NONE
  if ask.capacity - spent + ROUNDING < 1 then wait = until_spent(bucket, ask.capacity - 1) end
  if ask.algorithm ~= TOKEN_BUCKET then
    ends = start(ask.window, index(ask.window, batch.now) + 1) - batch.now
  end
  return tokens, spent, wait, ends, blocked
end

-- The same of requests in flight; gives how many permits the instance may hold, and how many are held or lacked.
local function execute_slots(slots, ask, batch)
  for instance, entry in pairs(slots.entries) do
    if entry.ends <= batch.now then slots.entries[instance] = nil end
  end
  if ask.reset ~= 0 then slots.blocked_until = 0 end
  if ask.block ~= NONE then
    slots.blocked_until = ask.block > 0 and batch.now + ask.block or 0
  end
  local blocked = max(slots.blocked_until - batch.now, 0)
  slots.entries[batch.instance] = nil
  local others, lacked, contenders = 0, 0, 1
  for _, entry in pairs(slots.entries) do
    others, lacked, contenders = others + entry.held, lacked + entry.lacks, contenders + 1
  end
  -- What others lack of an equal share is theirs, but for an equal share.
  local share, due = max(floor(ask.capacity / contenders), 1), 0
  for _, entry in pairs(slots.entries) do due = due + min(entry.lacks, max(share - entry.held, 0)) end
  local leases = batch.settling == 0 and blocked == 0
  local room = max(ask.capacity - others, 0)
  local free = max(room - ask.held, 0)
  local more = leases and min(ask.wanted, free, max(ask.waiting, floor(free / (2 * batch.instances)))) or 0
  local permits = min(ask.held + more, room)
  if due > 0 then permits = min(permits, max(share, room - due)) end
  -- Whoever is in flight is so, be there a permit or not.
  local held = max(ask.held, permits)
  local lacks = leases and max(ask.held + ask.waiting - held, 0) or 0
  slots.entries[batch.instance] = (held > 0 or lacks > 0)
    and { held = held, lacks = lacks, ends = batch.now + batch.time_to_live } or nil
  return permits, others + held + lacked, 0, NONE, blocked
end

local function read_slots(value)
  local slots = { algorithm = CONCURRENCY, blocked_until = 0, entries = {} }
  if value and (#value - SLOTS_SIZE) % ENTRY_SIZE == 0 then
    local algorithm, blocked_until = struct.unpack(SLOTS, value)
    if algorithm ~= CONCURRENCY then return slots end
    slots.blocked_until = blocked_until
    for at = SLOTS_SIZE + 1, #value, ENTRY_SIZE do
      local instance, held, lacks, ends = struct.unpack(ENTRY, value, at)
      slots.entries[instance] = { held = held, lacks = lacks, ends = ends }
    end
  end
  return slots
end

-- Kept until nobody holds or lacks anything, and it is not blocked.
local function write_slots(key, slots, now)
  local values, ends = { struct.pack(SLOTS, CONCURRENCY, slots.blocked_until) }, slots.blocked_until
  for instance, entry in pairs(slots.entries) do
    values[#values + 1] = struct.pack(ENTRY, instance, entry.held, entry.lacks, entry.ends)
    ends = max(ends, entry.ends)
  end
  if ends > now then
    redis.call('SET', key, table.concat(values), 'PX', ceil((ends - now) / 1000) + 1000)
  elseif slots.existed then
    redis.call('DEL', key)
  end
end

local function read_bucket(value)
  if not value or #value ~= BUCKET_SIZE then return nil end
  local algorithm, window, quota, capacity, at, spent, before, blocked_until = struct.unpack(BUCKET, value)
  return { algorithm = algorithm, window = window, quota = quota, capacity = capacity, at = at, spent = spent,
    before = before, blocked_until = blocked_until }
end

-- A bucket that is full and not blocked is as good as none; any other is kept until it is.
local function write_bucket(key, bucket, now)
  local kept = max(bucket.blocked_until - now, 0)
  if bucket.spent > 0 or bucket.before > 0 then kept = max(kept, until_spent(bucket, 0)) end
  if kept > 0 then
    local value = struct.pack(BUCKET, bucket.algorithm, bucket.window, bucket.quota, bucket.capacity, bucket.at,
      bucket.spent, bucket.before, bucket.blocked_until)
    redis.call('SET', key, value, 'PX', ceil(kept / 1000) + 1000)
  elseif bucket.existed then
    redis.call('DEL', key)
  end
end

local function read_ask(number)
  local algorithm, window, quota, capacity, floor_spent, floor_ends, reset, block, unspent, leased_at, credit, debit, held,
    wanted, waiting = struct.unpack(ASK, ARGV[2], (number - 1) * ASK_SIZE + 1)
  return { algorithm = algorithm, window = window, quota = quota, capacity = capacity, floor_spent = floor_spent,
    floor_ends = floor_ends, reset = reset, block = block, unspent = unspent, leased_at = leased_at, credit = credit,
    debit = debit, held = held, wanted = wanted, waiting = waiting }
end

local sequence, instances, seen_id, seen_count, new_id, settling_time, instance, time_to_live = struct.unpack(BATCH, ARGV[1])
local values = redis.call('MGET', unpack(KEYS))

if values[2] and #values[2] > 8 then
  local recorded = struct.unpack('<d', values[2])
  if recorded == sequence then return string.sub(values[2], 9) end
  if recorded > sequence then
    return redis.error_reply('SUPERSEDED a later batch of this instance has been executed')
  end
end

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local id, count, settles, last
if values[1] and #values[1] == LIFE_SIZE then
  id, count, settles, last = struct.unpack(LIFE, values[1])
  now = max(now, last)
end
local lost = seen_id ~= NONE and (id ~= seen_id or count < seen_count)
-- A life that fell back, because a replica was promoted, is over: all have to tell what they know.
if not id or lost and id == seen_id then id, count, settles = new_id, 0, 0 end
-- Whoever misses another state is among the first to tell of it, unless the others have just done so.
if lost and (settles == 0 or now >= settles + 3 * settling_time) then settles = now + settling_time end
count = count + 1
local settling = max(settles - now, 0)

local batch = { now = now, lost = lost, settling = settling, instances = instances, instance = instance,
  time_to_live = time_to_live }
local buckets, reply = {}, { struct.pack('<dddd', id, count, now, settling) }
for number = 1, #KEYS - 2 do
  local key, ask = KEYS[number + 2], read_ask(number)
  local bucket, value = buckets[key], values[number + 2]
  if ask.algorithm == CONCURRENCY then
    if not bucket or bucket.algorithm ~= CONCURRENCY then bucket = read_slots(not bucket and value) end
    reply[number + 1] = struct.pack('<ddddd', execute_slots(bucket, ask, batch))
  else
    if not bucket then bucket = read_bucket(value) elseif bucket.algorithm == CONCURRENCY then bucket = nil end
    if not bucket then bucket = fresh(ask, now) end
    reply[number + 1] = struct.pack('<ddddd', execute(bucket, ask, batch))
  end
  bucket.existed = value and true
  buckets[key] = bucket
end
reply = table.concat(reply)

redis.call('SET', KEYS[1], struct.pack(LIFE, id, count, settles, now), 'PX', LIFE_KEPT)
redis.call('SET', KEYS[2], struct.pack('<d', sequence) .. reply, 'PX', REPLY_KEPT)
for key, bucket in pairs(buckets) do
  if bucket.algorithm == CONCURRENCY then write_slots(key, bucket, now) else write_bucket(key, bucket, now) end
end
return reply

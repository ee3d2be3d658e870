-- Appends an amendment upon a revision, if that is still the record's, with its entries in the audit trail.
--
-- KEYS[1] the record and what goes with it, KEYS[2] the amendments, KEYS[3] the audit trail
-- ARGV[1] the revision, ARGV[2] the amendment, ARGV[3] how many there may be, ARGV[4] the channel, ARGV[5..] as `append` has them

local revision = redis.call('HGET', KEYS[1], 'revision') or '0'
if revision ~= ARGV[1] then return { 'revision', revision, '', '0' } end
if redis.call('LLEN', KEYS[2]) >= tonumber(ARGV[3]) then return { 'full', ARGV[3], '', '0' } end
local head = append(KEYS[1], KEYS[3], 5)
if head then return head end
local number = text(redis.call('RPUSH', KEYS[2], ARGV[2]))
hint(ARGV[4], 'amendment ' .. number)
return { 'amended', number, '', '0' }

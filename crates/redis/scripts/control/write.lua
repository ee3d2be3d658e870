-- Replaces the record, if who asks holds the lock and has seen the last version; appends to the audit trail, and tells those who
-- listen. A repeat of the last write has the same answer. Amendments go with the revision that they are upon.
--
-- KEYS[1] the record and what goes with it, KEYS[2] the lock, KEYS[3] the amendments, KEYS[4] the audit trail
-- ARGV[1] the token, ARGV[2] the version seen, ARGV[3] a digest of what follows, ARGV[4] the revision, ARGV[5] the record,
-- ARGV[6] the channel, ARGV[7..] as `append` has them

local control = redis.call('HMGET', KEYS[1], 'version', 'revision', 'fence', 'from', 'digest')
local version = control[1] or '0'
if control[3] == ARGV[1] and control[4] == ARGV[2] and control[5] == ARGV[3] then
  return { 'written', version, '', '0' }
end
local fence, holder = held(KEYS[2])
if fence ~= ARGV[1] then return { 'stale', fence, '', '0' } end
if not holder then return { 'expired', '0', '', '0' } end
if version ~= ARGV[2] then return { 'version', version, '', '0' } end
local head = append(KEYS[1], KEYS[4], 7)
if head then return head end
local written = text(tonumber(version) + 1)
redis.call('HSET', KEYS[1], 'version', written, 'revision', ARGV[4], 'record', ARGV[5],
  'fence', ARGV[1], 'from', ARGV[2], 'digest', ARGV[3])
if (control[2] or '0') ~= ARGV[4] then redis.call('UNLINK', KEYS[3]) end
hint(ARGV[6], 'record ' .. written)
return { 'written', written, '', '0' }

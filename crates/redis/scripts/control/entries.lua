-- Entries of the audit trail, the newest first, and its last number and chain, at one instant.
--
-- KEYS[1] the record and what goes with it, KEYS[2] the audit trail; ARGV[1] the number of the first one, or +, ARGV[2] how many

local number, chain = last(KEYS[1], KEYS[2])
local entries = {}
for i, entry in ipairs(redis.call('XREVRANGE', KEYS[2], ARGV[1], '-', 'COUNT', ARGV[2])) do
  local fields = {}
  for j = 1, #entry[2], 2 do fields[entry[2][j]] = entry[2][j + 1] end
  for _, name in ipairs({ 'at', 'before', 'bytes', 'chain' }) do fields[name] = fields[name] or '' end
  entries[i] = { string.match(entry[1], '^%d+'), fields.at, fields.before, fields.bytes, fields.chain }
end
return { number, chain, entries }

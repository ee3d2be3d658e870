-- Where the audit trail goes on from: the number of its last entry, its chain, and the time.
--
-- KEYS[1] the record and what goes with it, KEYS[2] the audit trail

local number, chain, latest = last(KEYS[1], KEYS[2])
return { 'head', number, chain, text(math.max(now, latest)) }

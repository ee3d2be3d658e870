//! How much an engine may remember, and how large its tables are for that.

/// The smallest table, in slots: 256 KiB, of which what is touched is resident.
const SMALLEST: usize = 8192;

/// Tables of up to this many slots (1 MiB) are kept sparse: two slots share a cache line, and processors fetch lines in
/// pairs, so threads that decide on neighbours wait for each other.
const SPARSE: usize = 1 << 15;

/// Room in the largest table for keys that the engine itself makes.
const MARGIN: usize = 64;

/// How much an engine may remember.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Capacity {
    /// Keys, besides the tenants that the policy names. 1,024 to 100,000,000.
    pub max_keys: u32,
    /// The part of `max_keys` that one owner of many keys may hold: the tenants that the policy does not name
    /// together, the anonymous clients together. Above 0, at most 1.
    pub key_share: f64,
}

impl Capacity {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most max_keys")]
    pub(crate) fn share(&self) -> u32 {
        (f64::from(self.max_keys) * self.key_share.clamp(0.0, 1.0)).ceil().max(1.0) as u32
    }

    /// Slots for all these keys, and for so many that always have a place.
    pub(crate) fn slots(&self, kept: usize) -> usize {
        with_room_for((self.max_keys as usize).saturating_add(kept).saturating_add(MARGIN))
    }
}

/// Slots that so many keys fit into before the table fills.
pub(crate) fn with_room_for(keys: usize) -> usize {
    let mut slots = SMALLEST;
    while filling_at(slots) <= keys {
        slots *= 2;
    }
    slots
}

/// With how many keys it is time for a table with more room. At three quarters, a sixteenth comes while the table moves, and
/// a sixteenth is kept for tenants that the policy names.
pub(crate) fn filling_at(slots: usize) -> usize {
    if slots <= SPARSE { slots / 32 } else { slots / 4 * 3 }
}

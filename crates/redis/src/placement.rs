//! Which backend serves which tag: of those that are up, the one with the highest weight for it (rendezvous hashing; Thaler and
//! Ravishankar 1998). So every instance comes to the same answer, and only the tags of a backend that is gone move.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use tollgate_core::lease::exchange::TAGS;

/// For each tag, the backends in the order in which they are to serve it.
#[derive(Debug)]
pub(crate) struct Placement {
    by_tag: Vec<Vec<usize>>,
}

impl Placement {
    /// By what the backends are called.
    pub(crate) fn new(names: &[String]) -> Self {
        let by_tag = (0..TAGS).map(|tag| {
            let mut order: Vec<usize> = (0..names.len()).collect();
            order.sort_by_key(|&index| {
                let name = names.get(index).map_or("", String::as_str);
                // Not secret: all instances are to agree.
                let mut hasher = SipHasher13::new();
                hasher.write(name.as_bytes());
                hasher.write_usize(tag);
                std::cmp::Reverse(hasher.finish())
            });
            order
        });
        Self { by_tag: by_tag.collect() }
    }

    /// The backend that serves a tag, of those that are up.
    pub(crate) fn backend(&self, tag: u8, is_up: impl Fn(usize) -> bool) -> Option<usize> {
        self.by_tag.get(usize::from(tag))?.iter().copied().find(|&index| is_up(index))
    }
}

#[cfg(test)]
mod tests {
    use super::Placement;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|index| format!("redis://backend-{index}:6379")).collect()
    }

    #[test]
    fn tags_are_spread_over_all_backends() {
        let placement = Placement::new(&names(2));
        let first = (0..=255).filter(|&tag| placement.backend(tag, |_| true) == Some(0)).count();
        assert!((90..=166).contains(&first), "{first} of 256 are served by the first");
    }

    #[test]
    fn only_the_tags_of_a_backend_that_is_gone_move() {
        let placement = Placement::new(&names(3));
        for tag in 0..=255 {
            let (before, after) =
                (placement.backend(tag, |_| true), placement.backend(tag, |index| index != 1));
            assert!(after != Some(1) && (before == Some(1) || before == after));
        }
    }

    #[test]
    fn the_order_of_backends_in_a_list_does_not_matter() {
        let (one, other) = (names(3), names(3).into_iter().rev().collect::<Vec<_>>());
        let (here, there) = (Placement::new(&one), Placement::new(&other));
        for tag in 0..=255 {
            let name = |placement: &Placement, list: &[String]| {
                placement.backend(tag, |_| true).and_then(|index| list.get(index).cloned())
            };
            assert_eq!(name(&here, &one), name(&there, &other));
        }
    }

    #[test]
    fn without_a_backend_no_tag_is_served() {
        assert_eq!(Placement::new(&names(2)).backend(7, |_| false), None);
    }
}

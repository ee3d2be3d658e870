//! Slots that are taken and given back while a record takes permits out of the word: who has been told of them may have them.

use std::sync::Arc;

use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

use super::{NOW, model};
use crate::bucket::{Bucket, Charge, Word};
use crate::lease::Permits;
use crate::lease::exchange::SharedLimit;
use crate::lease::permits::Held;
use crate::meter::Meter;
use crate::moment::Moment;
use crate::{Epoch, Nanos};

const DEADLINE: Nanos = Nanos::from_secs(9);

fn meter() -> Meter {
    Meter::Permits(Permits::new(SharedLimit::concurrency(5)).unwrap())
}

fn moment() -> Moment {
    Moment::new(NOW, Epoch::default())
}

/// A request that is there and gone, if it finds a permit. It is counted for no longer than it holds the slot.
fn pass_through(word: &AtomicU64, in_flight: &AtomicU64) {
    let (bucket, meter) = (Bucket(word), meter());
    if let Charge::Admitted(_) = bucket.charge(&meter, moment(), 1) {
        in_flight.fetch_add(1, Ordering::SeqCst);
        in_flight.fetch_sub(1, Ordering::SeqCst);
        bucket.adjust(|state| meter.give(state, moment(), 1)).unwrap();
    }
}

/// Keeps no more permits than are in use; gives how many count for this instance from then on.
fn shed(word: &AtomicU64) -> u64 {
    let bucket = Bucket(word);
    loop {
        let word = bucket.read().unwrap();
        let held = Held::of(word.state(), NOW, Epoch::default());
        let permits = held.permits.min(held.in_flight);
        let state = held.state(permits, DEADLINE, false, Epoch::default());
        if bucket.replace(word, word.with_state(state)).is_ok() {
            return permits.max(held.in_flight);
        }
    }
}

#[test]
fn permits_that_have_left_the_word_are_used_by_nobody_and_every_slot_comes_back() {
    model(2, || {
        let empty = Held { permits: 0, in_flight: 0, lapsed: true, most: 0 };
        let state = empty.state(2, DEADLINE, false, Epoch::default());
        let word = Arc::new(AtomicU64::new(0));
        Bucket(&word).replace(Word::FRESH, Word::FRESH.with_state(state)).unwrap();
        let in_flight = Arc::new(AtomicU64::new(0));
        let requests: Vec<_> = (0..2)
            .map(|_| {
                let (word, in_flight) = (Arc::clone(&word), Arc::clone(&in_flight));
                thread::spawn(move || pass_through(&word, &in_flight))
            })
            .collect();
        let counts = shed(&word);
        let flying = in_flight.load(Ordering::SeqCst);
        assert!(flying <= counts, "{flying} are in flight by {counts} permits");
        for request in requests {
            request.join().unwrap();
        }
        let state = Bucket(&word).read().unwrap().state();
        assert_eq!(Permits::in_flight(state), 0);
        assert!(Permits::spare(state, moment()) <= counts);
    });
}

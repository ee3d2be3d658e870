use proptest::prelude::*;

use super::*;

fn lease(tokens: u64, deadline: u64, at: u64) -> Lot {
    Lot { tokens, deadline: Nanos::new(deadline), source: Source::Lease { at } }
}

fn debit(tokens: u64, deadline: u64) -> Lot {
    Lot { tokens, deadline: Nanos::new(deadline), source: Source::Debit }
}

fn holding(all: impl IntoIterator<Item = Lot>) -> Lots {
    let mut lots = Lots::default();
    for lot in all {
        lots.add(lot);
    }
    lots
}

#[test]
fn tokens_that_end_first_are_spent_first() {
    let mut lots = holding([lease(3, 30, 3), lease(1, 10, 1), lease(2, 20, 2)]);
    assert_eq!(lots.spend(2), 0);
    assert_eq!(lots.deadline(Nanos::ZERO, true), Some(Nanos::new(20)));
    assert_eq!(lots.take_ending(Nanos::new(20), true), Some((1, 2)));
    assert_eq!(lots.held(), 3);
}

#[test]
fn what_is_spent_without_a_lease_is_debited() {
    let mut lots = holding([lease(2, 10, 1), debit(3, 20), lease(2, 30, 1)]);
    assert_eq!(lots.spend(1), 0);
    assert_eq!(lots.spend(2), 1);
    assert_eq!(lots.spend(9), 2);
    assert_eq!(lots.held(), 0);
}

#[test]
fn tokens_without_a_lease_come_back_to_nobody() {
    let mut lots = holding([debit(3, 20), lease(2, 30, 7)]);
    assert_eq!(lots.count_ending(Nanos::ZERO, false), 3);
    assert_eq!(lots.take_ending(Nanos::ZERO, false), None);
    assert_eq!(lots.held(), 2);
    assert_eq!(lots.take_ending(Nanos::new(30), false), Some((2, 7)));
}

#[test]
fn too_many_lots_are_counted_as_one_that_is_no_longer_and_no_younger_than_any() {
    let mut lots = holding((0..40).map(|lot| lease(1, 100 + lot, 1000 + lot)));
    assert!(lots.lots.len() <= MOST);
    assert_eq!(lots.held(), 40);
    // All that was put together ends with the first of it.
    assert_eq!(lots.take_ending(Nanos::new(114), true), Some((15, 1000)));
    let (tokens, at) = lots.take_ending(Nanos::new(115), true).unwrap();
    assert_eq!((tokens, at), (25, 1015));
}

#[derive(Debug, Clone)]
enum Step {
    Add(Lot),
    Spend(u64),
    /// By then, and are those without a lease kept?
    TakeEnding(u64, bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..9_u64, 0..50_u64, 0..50_u64).prop_map(|(tokens, ends, at)| Step::Add(lease(tokens, ends, at))),
        (0..9_u64, 0..50_u64).prop_map(|(tokens, ends)| Step::Add(debit(tokens, ends))),
        (0..20_u64).prop_map(Step::Spend),
        (0..20_u64).prop_map(Step::Spend),
        (0..50_u64, any::<bool>()).prop_map(|(by, kept)| Step::TakeEnding(by, kept)),
    ]
}

proptest! {
    /// Beside a list of single tokens, in the order in which they end.
    #[test]
    fn lots_are_a_list_of_tokens(steps in prop::collection::vec(step(), 1..60)) {
        let (mut lots, mut tokens) = (Lots::default(), Vec::<Lot>::new());
        for step in steps {
            match step {
                Step::Add(_) if lots.lots.len() >= MOST => {}
                Step::Add(lot) => {
                    lots.add(lot);
                    tokens.extend((0..lot.tokens).map(|_| Lot { tokens: 1, ..lot }));
                    tokens.sort_by_key(|token| token.deadline);
                }
                Step::Spend(most) => {
                    let spent = tokens.drain(..tokens.len().min(usize::try_from(most).unwrap()));
                    let debited = spent.filter(|token| token.source == Source::Debit).count();
                    prop_assert_eq!(lots.spend(most), debited as u64);
                }
                Step::TakeEnding(by, kept) => {
                    let by = Nanos::new(by);
                    let (ended, rest): (Vec<Lot>, Vec<Lot>) = tokens.into_iter().partition(|token| ends(token, by, kept));
                    tokens = rest;
                    prop_assert_eq!(lots.count_ending(by, kept), ended.len() as u64);
                    prop_assert_eq!(lots.deadline(by, kept), tokens.first().map(|token| token.deadline));
                    let leased = ended.iter().filter_map(|token| match token.source {
                        Source::Lease { at } => Some(at),
                        Source::Debit | Source::Nobody => None,
                    });
                    let unspent = leased.clone().min().map(|first| (leased.count() as u64, first));
                    prop_assert_eq!(lots.take_ending(by, kept), unspent);
                }
            }
            prop_assert_eq!(lots.held(), tokens.len() as u64);
        }
    }
}

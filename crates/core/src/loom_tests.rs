//! Every schedule of small programs over the real bucket, slot, table and migration: `npm run test:loom`.
//!
//! [`spend`] is the walk of [`crate::Gate`] without its caps: find the key or write it, charge it, follow it to the next
//! table when it moves. The programs run it against itself and against the movers.

use std::sync::Arc;

use loom::thread;

use crate::bucket::{Charge, Word};
use crate::meter::Meter;
use crate::migration::{Place, locate};
use crate::policy::{Draft, OptimizationLevel, Spec};
use crate::slot::{Kind, Meta};
use crate::table::Table;
use crate::{Epoch, Key, KeyHasher, Nanos, Policy, Subject};

mod charge;
mod permits;

/// One second after the tables' epoch. Nothing refills meanwhile.
const NOW: Nanos = Nanos::from_secs(1);

fn hasher() -> KeyHasher {
    KeyHasher::with_secret(1, 2)
}

/// A policy of `quota` tokens an hour for everybody.
fn policy(quota: u64) -> Arc<Policy> {
    policy_with_rules(quota, "[]")
}

fn policy_with_rules(quota: u64, rules: &str) -> Arc<Policy> {
    let limit = format!(r#"{{ "quota": {quota}, "windowMs": 3600000, "algorithm": "token-bucket" }}"#);
    let spec = Spec::parse(format!(r#"{{ "default": {limit}, "rules": {rules} }}"#).as_bytes()).unwrap();
    let compiled = Draft::new(&spec, OptimizationLevel::default()).unwrap().compile().unwrap();
    Arc::new(Policy::new(compiled, hasher()))
}

/// A tenant that no policy names.
fn unnamed() -> Meta {
    Meta::new(Kind::Unnamed { prefix: 7 })
}

fn key(name: &str) -> Key {
    hasher().key(Subject::Tenant, name.as_bytes())
}

fn table(slots: usize, policy: &Arc<Policy>) -> Arc<Table> {
    Arc::new(Table::new(slots, Epoch::default(), Arc::clone(policy), 0).unwrap())
}

/// Writes a key as a decision does; `None` if the table takes no more keys.
fn write(table: &Table, key: Key) -> Option<usize> {
    let (index, _) = table.claim(key).unwrap()?;
    table.slots[index].describe(unnamed());
    Some(index)
}

/// Consumes one token, wherever the bucket is.
fn spend(from: &Arc<Table>, key: Key) -> bool {
    loop {
        let (table, index) = match locate(from, key, NOW) {
            Place::Here(table, index) => (table, index),
            Place::Absent(table) => match write(&table, key) {
                Some(index) => (table, index),
                None => continue,
            },
        };
        // Written by another that has not come to describe it: as `Gate::describe`.
        let meta = table.slots[index].describe(unnamed());
        let meter = table.meter_of(meta).unwrap();
        match table.slots[index].bucket().charge(meter, table.moment(NOW), 1) {
            Charge::Admitted(_) => return true,
            Charge::Refused(..) => return false,
            Charge::Blocked => panic!("nobody blocks"),
            Charge::Elsewhere => {}
        }
    }
}

/// Consumes one token as [`spend`] does, but looks in the next table first, as a gate does while a table moves.
fn spend_ahead(from: &Arc<Table>, key: Key) -> bool {
    if let Some(next) = from.next()
        && let Some(slot) = next.find(key)
        && let Some(meta) = slot.meta()
        && slot.bucket().read().is_some_and(|word| word != Word::FRESH)
    {
        let meter = next.meter_of(meta).unwrap();
        match slot.bucket().charge(meter, next.moment(NOW), 1) {
            Charge::Admitted(_) => return true,
            Charge::Refused(..) => return false,
            Charge::Blocked | Charge::Elsewhere => {}
        }
    }
    spend(from, key)
}

/// Moves every slot to the next table.
fn settle(table: &Table) {
    let next = table.next().unwrap();
    while !table.is_settled() {
        table.settle_group(&next, NOW);
    }
}

/// What is left in the bucket after everything, of which there is exactly one.
fn left(from: &Arc<Table>, key: Key) -> u64 {
    match locate(from, key, NOW) {
        Place::Here(table, index) => {
            let slot = &table.slots[index];
            let meter = table.meter_of(slot.meta().unwrap()).unwrap();
            let copies = table.slots.iter().filter(|slot| slot.key() == Some(key)).count();
            assert_eq!(copies, 1, "a key stands once in a table");
            meter.remaining(slot.bucket().read().unwrap().state(), table.moment(NOW))
        }
        Place::Absent(table) => {
            table.policy.entry(Policy::DEFAULT).unwrap().limit.meter().map_or(0, Meter::capacity)
        }
    }
}

fn model(preemptions: usize, program: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(program);
}

#[test]
fn two_charges_of_one_token_admit_one() {
    let policy = policy(1);
    model(4, move || {
        let table = table(2, &policy);
        let acme = key("acme");
        write(&table, acme);
        let other = thread::spawn({
            let table = Arc::clone(&table);
            move || spend(&table, acme)
        });
        let mine = spend(&table, acme);
        assert!(mine ^ other.join().unwrap());
    });
}

#[test]
fn a_key_written_by_two_at_once_stands_once() {
    let policy = policy(2);
    model(4, move || {
        let table = table(2, &policy);
        let acme = key("acme");
        let other = thread::spawn({
            let table = Arc::clone(&table);
            move || spend(&table, acme)
        });
        assert!(spend(&table, acme));
        assert!(other.join().unwrap());
        assert_eq!(table.claimed(), 1);
        assert_eq!(left(&table, acme), 0);
    });
}

#[test]
fn different_keys_written_at_once_both_stand() {
    let policy = policy(2);
    model(3, move || {
        let table = table(2, &policy);
        let (acme, globex) = (key("acme"), key("globex"));
        let other = thread::spawn({
            let table = Arc::clone(&table);
            move || spend(&table, globex)
        });
        assert!(spend(&table, acme));
        assert!(other.join().unwrap());
        assert_eq!((left(&table, acme), left(&table, globex)), (1, 1));
    });
}

/// Spends `first` tokens, and one more while another thread moves the table to one under the policy `after`, which may be the
/// same; `remaining` are left.
fn spend_during_a_move(before: &Arc<Policy>, after: &Arc<Policy>, first: usize, remaining: u64) {
    let (before, after) = (Arc::clone(before), Arc::clone(after));
    model(3, move || {
        let old = table(2, &before);
        let acme = key("acme");
        for _ in 0..first {
            assert!(spend(&old, acme));
        }
        let other = thread::spawn({
            let (old, next) = (Arc::clone(&old), table(2, &after));
            move || {
                old.forward(next);
                settle(&old);
            }
        });
        assert!(spend(&old, acme));
        other.join().unwrap();
        assert_eq!(left(&old, acme), remaining);
    });
}

#[test]
fn a_charge_during_a_move_is_neither_lost_nor_repeated() {
    let policy = policy(3);
    spend_during_a_move(&policy, &policy, 1, 1);
}

#[test]
fn a_new_key_during_a_move_is_written_once() {
    let policy = policy(3);
    spend_during_a_move(&policy, &policy, 0, 2);
}

#[test]
fn a_charge_during_a_change_of_policy_is_charged_once_under_one_of_them() {
    spend_during_a_move(&policy(2), &policy(4), 1, 2);
}

#[test]
fn helpers_of_one_move_and_a_spender_agree() {
    let policy = policy(2);
    model(2, move || {
        let old = table(2, &policy);
        let acme = key("acme");
        assert!(spend(&old, acme));
        old.forward(table(2, &policy));
        let helpers: Vec<_> = (0..2)
            .map(|_| {
                let old = Arc::clone(&old);
                thread::spawn(move || settle(&old))
            })
            .collect();
        let admitted = [spend(&old, acme), spend(&old, acme)];
        for helper in helpers {
            helper.join().unwrap();
        }
        assert_eq!(admitted, [true, false]);
        assert_eq!(left(&old, acme), 0);
    });
}

#[test]
fn looking_ahead_finds_the_only_bucket_or_none() {
    let policy = policy(3);
    model(3, move || {
        let old = table(2, &policy);
        let acme = key("acme");
        assert!(spend(&old, acme));
        old.forward(table(2, &policy));
        let other = thread::spawn({
            let old = Arc::clone(&old);
            move || settle(&old)
        });
        let admitted = [(); 3].map(|()| spend_ahead(&old, acme));
        other.join().unwrap();
        assert_eq!(admitted, [true, true, false]);
        assert_eq!(left(&old, acme), 0);
    });
}

#[test]
fn a_late_helper_does_not_revive_a_bucket_that_went_on() {
    let policy = policy(3);
    model(2, move || {
        let (first, second) = (table(2, &policy), table(2, &policy));
        let acme = key("acme");
        assert!(spend(&first, acme));
        first.forward(Arc::clone(&second));
        let late = thread::spawn({
            let first = Arc::clone(&first);
            move || {
                locate(&first, acme, NOW);
            }
        });
        settle(&first);
        second.forward(table(2, &policy));
        settle(&second);
        assert!(spend(&first, acme));
        late.join().unwrap();
        assert_eq!(left(&first, acme), 1);
    });
}

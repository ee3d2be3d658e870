use super::*;
use crate::rollout::samples::{NOW, hash, locked, proposed, record, revision, rolled_back};

#[test]
fn a_record_is_read_as_it_was_written() {
    let record = rolled_back(&locked(&record(), 2), 3);
    assert_eq!(Record::read(&record.bytes().unwrap()).unwrap(), record);
    let record = proposed(&record, 4);
    assert_eq!(Record::read(&record.bytes().unwrap()).unwrap(), record);
}

#[test]
fn a_record_of_a_later_format_is_refused_and_not_guessed_at() {
    let text = br#"{ "format": 2, "active": "in other words" }"#;
    let error = Record::read(text).unwrap_err();
    assert!(matches!(error, RecordError::Format { found: 2 }));
    let said = "the fleet's record is of format 2; this version of Tollgate reads 1: update this instance";
    assert_eq!(error.to_string(), said);
}

#[test]
fn what_is_no_record_is_refused() {
    for text in ["", "{}", "[]", r#"{ "format": 1 }"#, r#"{ "format": "1" }"#] {
        assert!(matches!(Record::read(text.as_bytes()), Err(RecordError::Malformed(_))), "{text}");
    }
}

/// Those that enforce something know more than a store that has lost its record.
#[test]
fn a_fleet_that_lives_is_founded_upon_what_it_enforces() {
    let enforced = [revision(6, 6), revision(7, 7), revision(7, 7)];
    let record = Record::found(hash(9), &enforced, NOW);
    assert_eq!((record.active, record.numbered), (revision(7, 7), 7));
    assert_eq!(Record::found(hash(9), [], NOW).active, revision(1, 9));
}

#[test]
fn editions_rise_also_where_the_clock_goes_back() {
    let record = record();
    let later = record.next(NOW + Micros::from_secs(1));
    assert_eq!(later.edition, record.edition + 1_000_000);
    assert_eq!(later.next(NOW).edition, later.edition + 1);
}

#[test]
fn no_policy_is_among_the_earlier_ones_twice() {
    let record = locked(&locked(&locked(&locked(&record(), 2), 1), 2), 3);
    assert_eq!(record.active, revision(5, 3));
    assert_eq!(record.earlier, [revision(3, 1), revision(4, 2)]);
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut one = record();
    for number in 2..=200 {
        one = rolled_back(&locked(&one, number), number - 1);
    }
    assert_eq!((one.earlier.len(), one.refused.len()), (MOST_EARLIER, MOST_REFUSED));
    assert_eq!(one.earlier.last(), Some(&revision(396, 199)));
}

#[test]
fn a_policy_that_is_locked_by_force_is_not_refused_any_more() {
    let record = rolled_back(&record(), 2);
    assert!(record.refusal(hash(2)).is_some());
    assert!(locked(&record, 2).refusal(hash(2)).is_none());
}

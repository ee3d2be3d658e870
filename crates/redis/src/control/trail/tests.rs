use super::*;

fn trail(count: u64) -> Trail {
    let mut entries: Vec<Entry> = Vec::new();
    let mut chain = [0; 32];
    for number in 0..count {
        let entry = Entry::after(number, chain, 1000 + number, format!("entry {number}").as_bytes());
        chain = entry.chain;
        entries.push(entry);
    }
    Trail { entries, last: count, chain, is_end: true }
}

#[test]
fn a_trail_as_it_was_written_is_whole_and_so_is_the_end_of_it() {
    assert_eq!(trail(0).verify(), Ok(()));
    let mut trail = trail(5);
    assert_eq!(trail.verify(), Ok(()));
    trail.entries.drain(..3);
    assert_eq!(trail.verify(), Ok(()));
    trail.entries.pop();
    trail.is_end = false;
    assert_eq!(trail.verify(), Ok(()));
}

#[test]
fn no_byte_time_or_number_is_altered_unseen() {
    let alter: [fn(&mut Entry); 5] = [
        |entry| entry.bytes[0] ^= 1,
        |entry| entry.at += 1,
        |entry| entry.number += 1,
        |entry| entry.before[0] ^= 1,
        |entry| entry.chain[0] ^= 1,
    ];
    for alter in alter {
        for index in 0..5 {
            let mut trail = trail(5);
            alter(&mut trail.entries[index]);
            assert!(matches!(trail.verify(), Err(Broken::Edited { .. })), "{:?}", trail.verify());
        }
    }
}

#[test]
fn an_entry_that_is_missing_is_a_gap_or_a_cut() {
    let mut middle = trail(5);
    middle.entries.remove(2);
    assert_eq!(middle.verify(), Err(Broken::Gap { after: 2, before: 4 }));
    let mut end = trail(5);
    end.entries.pop();
    assert_eq!(end.verify(), Err(Broken::Cut { after: 4, last: 5 }));
    end.entries.clear();
    assert_eq!(end.verify(), Err(Broken::Cut { after: 0, last: 5 }));
}

#[test]
fn entries_that_changed_places_are_out_of_order() {
    let mut trail = trail(5);
    trail.entries.swap(3, 4);
    assert_eq!(trail.verify(), Err(Broken::Gap { after: 3, before: 5 }));
    trail.entries.remove(2);
    trail.entries.remove(0);
    assert_eq!(trail.verify(), Err(Broken::Gap { after: 2, before: 5 }));
    trail.entries.remove(0);
    assert_eq!(trail.verify(), Err(Broken::Reordered { number: 4 }));
}

#[test]
fn an_entry_that_was_written_anew_and_chained_again_does_not_go_on() {
    let mut trail = trail(5);
    let before = trail.entries[1].chain;
    trail.entries[2] = Entry::after(2, before, 1002, b"forged");
    assert_eq!(trail.verify(), Err(Broken::Forked { number: 4 }));
    trail.entries.truncate(3);
    (trail.last, trail.is_end) = (3, true);
    assert_eq!(trail.verify(), Err(Broken::Forked { number: 3 }));
}

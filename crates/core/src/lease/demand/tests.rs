use super::*;

const INTERVAL: Nanos = Nanos::from_millis(100);

fn at(millis: u64) -> Nanos {
    Nanos::from_millis(millis)
}

#[test]
fn demand_is_what_was_spent_in_the_last_two_intervals() {
    let mut demand = Demand::default();
    let at_two = |demand: &Demand, millis| demand.of_two_intervals(at(millis), INTERVAL);
    demand.advance(at(1000), INTERVAL);
    demand.spend(4);
    assert_eq!(at_two(&demand, 1000), 4);
    demand.advance(at(1100), INTERVAL);
    demand.spend(2);
    assert_eq!(at_two(&demand, 1150), 6);
    demand.advance(at(1200), INTERVAL);
    // Of the first interval the later half counts, then a quarter, then nothing.
    assert_eq!(at_two(&demand, 1250), 4);
    assert_eq!(at_two(&demand, 1275), 3);
    demand.advance(at(1300), INTERVAL);
    assert_eq!(at_two(&demand, 1350), 1);
}

#[test]
fn two_intervals_without_a_request_end_the_demand() {
    let mut demand = Demand::default();
    demand.advance(at(1000), INTERVAL);
    demand.spend(5);
    demand.advance(at(1300), INTERVAL);
    assert_eq!(demand.of_two_intervals(at(1300), INTERVAL), 0);
    // The next interval begins with the next request.
    assert_eq!(demand.began, at(1300));
}

#[test]
fn what_is_asked_too_often_waits_for_the_next_interval() {
    let mut demand = Demand::default();
    demand.advance(at(1000), INTERVAL);
    (0..MOST_ASKS - 1).for_each(|_| demand.ask());
    assert!(!demand.is_paced());
    demand.ask();
    assert!(demand.is_paced());
    demand.advance(at(1100), INTERVAL);
    assert!(!demand.is_paced());
}

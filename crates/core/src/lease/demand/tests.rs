use super::*;

const INTERVAL: Nanos = Nanos::from_millis(100);

fn at(millis: u64) -> Nanos {
    Nanos::from_millis(millis)
}

#[test]
fn demand_is_that_of_the_present_interval_or_the_one_before() {
    let mut demand = Demand::default();
    demand.advance(at(1000), INTERVAL);
    demand.spend(5);
    assert_eq!(demand.of_an_interval(), 5);
    demand.advance(at(1100), INTERVAL);
    demand.spend(2);
    assert_eq!(demand.of_an_interval(), 5);
    demand.advance(at(1200), INTERVAL);
    assert_eq!(demand.of_an_interval(), 2);
}

#[test]
fn an_interval_without_a_request_ends_the_demand() {
    let mut demand = Demand::default();
    demand.advance(at(1000), INTERVAL);
    demand.spend(5);
    demand.advance(at(1250), INTERVAL);
    assert_eq!(demand.of_an_interval(), 0);
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

use super::*;

const INTERVAL: Nanos = Nanos::from_millis(100);

fn at(millis: u64) -> Nanos {
    Nanos::from_millis(millis)
}

fn of_two(demand: &Demand, millis: u64) -> u64 {
    demand.of_two_intervals(at(millis), INTERVAL)
}

#[test]
fn demand_is_what_was_spent_in_the_last_two_intervals() {
    let mut demand = Demand::default();
    demand.advance(at(1000), INTERVAL);
    demand.advance(at(1001), INTERVAL);
    demand.spend(4, INTERVAL);
    assert_eq!(of_two(&demand, 1001), 4);
    demand.advance(at(1100), INTERVAL);
    demand.advance(at(1101), INTERVAL);
    demand.spend(2, INTERVAL);
    assert_eq!(of_two(&demand, 1150), 6);
    demand.advance(at(1200), INTERVAL);
    // Of the first interval the later half counts, then a quarter, then nothing.
    assert_eq!(of_two(&demand, 1250), 4);
    assert_eq!(of_two(&demand, 1275), 3);
    demand.advance(at(1300), INTERVAL);
    assert_eq!(of_two(&demand, 1350), 1);
}

#[test]
fn a_look_that_comes_late_counts_what_was_spent_as_spent_evenly() {
    let mut demand = Demand::default();
    demand.advance(at(1000), INTERVAL);
    demand.advance(at(1500), INTERVAL);
    demand.spend(500, INTERVAL);
    // A hundred in each of the intervals of which it is known: the present one has only begun.
    assert_eq!(of_two(&demand, 1500), 200);
    demand.advance(at(1550), INTERVAL);
    demand.spend(50, INTERVAL);
    assert_eq!(of_two(&demand, 1550), 200);
    demand.advance(at(1700), INTERVAL);
    demand.spend(150, INTERVAL);
    assert_eq!(of_two(&demand, 1700), 200);
}

#[test]
fn three_intervals_without_a_request_end_the_demand() {
    let mut demand = Demand::default();
    demand.advance(at(1000), INTERVAL);
    demand.advance(at(1001), INTERVAL);
    demand.spend(5, INTERVAL);
    demand.advance(at(1300), INTERVAL);
    assert_eq!(of_two(&demand, 1300), 0);
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

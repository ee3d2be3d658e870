use super::*;
use crate::rollout::samples::NOW;

const NAME: &str = "infra_rl_2026_01_15_09_42_17";

#[test]
fn a_rollout_is_called_after_the_second_at_which_it_began() {
    let id = ExecutionId::at(NOW + Micros::from_millis(999));
    assert_eq!(id.to_string(), NAME);
    assert_eq!(NAME.parse(), Ok(id));
}

#[test]
fn names_rise_also_where_the_clock_goes_back() {
    let id = ExecutionId::at(NOW);
    for now in [NOW, Micros::ZERO] {
        assert_eq!(ExecutionId::after(Some(id), now).to_string(), "infra_rl_2026_01_15_09_42_18");
    }
    assert_eq!(
        ExecutionId::after(Some(id), NOW + Micros::from_secs(60)).to_string(),
        "infra_rl_2026_01_15_09_43_17"
    );
}

#[test]
fn what_names_no_rollout_is_refused() {
    for text in [
        "",
        "infra_rl_",
        "2026_01_15_09_42_17",
        "infra_rl_2026_01_15_09_42",
        "infra_rl_2026_01_15_09_42_17_3",
        "infra_rl_2026_13_15_09_42_17",
        "infra_rl_2026_02_30_09_42_17",
        "infra_rl_2026_1_15_09_42_17",
        "infra_rl_2026_01_15_09_42_+7",
        "infra_rl_1969_12_31_23_59_59",
    ] {
        assert_eq!(text.parse::<ExecutionId>(), Err(NotAnExecution), "{text}");
    }
}

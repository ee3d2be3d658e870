//! What a run is like.

use tollgate_core::rollout::{Micros, Settings, Steps, Strategy};

use crate::random::Random;

#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) instances: u64,
    /// How long there are wishes and faults.
    pub(crate) time: Micros,
    /// Messages that are lost, in percent.
    pub(crate) lost: u64,
    /// Messages that come late, in percent.
    pub(crate) slow: u64,
    /// Images that do not come at once, in percent.
    pub(crate) late_images: u64,
    pub(crate) crashes: bool,
    pub(crate) stalls: bool,
    /// Do instances come and go?
    pub(crate) moves: bool,
    /// How often somebody wants something.
    pub(crate) wishes: Micros,
}

impl Setup {
    /// Nothing goes wrong, and nobody wants anything.
    pub(crate) fn calm(random: &mut Random) -> Self {
        Self {
            instances: random.within(1..=8),
            time: Micros::from_secs(60),
            lost: 0,
            slow: 0,
            late_images: 0,
            crashes: false,
            stalls: false,
            moves: false,
            wishes: Micros::ZERO,
        }
    }

    /// All that can go wrong does, in some run.
    pub(crate) fn rough(random: &mut Random) -> Self {
        Self {
            lost: random.below(2) * random.below(25),
            slow: random.below(2) * random.below(15),
            late_images: random.below(2) * random.below(30),
            crashes: random.chance(50),
            stalls: random.chance(50),
            moves: random.chance(50),
            wishes: Micros::from_secs(random.within(4..=15)),
            time: Micros::from_secs(random.within(40..=90)),
            ..Self::calm(random)
        }
    }
}

/// Short, so that a run sees many rollouts.
pub(crate) fn settings() -> Settings {
    Settings {
        window: Micros::from_secs(3),
        deadline: Micros::from_secs(8),
        min_samples: 50,
        patience: Micros::from_secs(4),
        lead: Micros::from_millis(1500),
        ..Settings::default()
    }
}

pub(crate) fn strategy(random: &mut Random) -> Strategy {
    match random.below(4) {
        0 => Strategy::Simultaneous,
        1 => Strategy::Rolling(Steps::new(vec![1.0]).unwrap()),
        2 => Strategy::Rolling(Steps::new(vec![0.3, 1.0]).unwrap()),
        _ => Strategy::default(),
    }
}

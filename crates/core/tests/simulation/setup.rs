//! What a run is like.

use tollgate_core::Nanos;
use tollgate_core::lease::OnFailure;

use crate::flights::InFlight;
use crate::limits::Limits;
use crate::names::TENANTS;
use crate::random::Random;

#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fault that happens or does not")]
pub(crate) struct Setup {
    pub(crate) limits: Limits,
    /// What every request is charged to, besides.
    pub(crate) rule: Option<Limits>,
    /// In place of tokens: at most so many of a tenant's requests in flight, and how long each is, in nanoseconds at most.
    pub(crate) in_flight: Option<InFlight>,
    pub(crate) instances: u64,
    pub(crate) tenants: usize,
    pub(crate) largest_cost: u64,
    pub(crate) interval: Nanos,
    pub(crate) time_to_live: Nanos,
    /// How long there are requests and faults; then all is given back.
    pub(crate) time: Nanos,
    /// Of a hundred messages, so many are lost, come twice, or come late.
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) slow: u64,
    /// Of a hundred batches without an answer, so many are given up.
    pub(crate) given_up: u64,
    /// Do instances die, and others start?
    pub(crate) crashes: bool,
    /// Does the backend lose everything?
    pub(crate) wipes: bool,
    /// Is a replica promoted that has not heard of everything?
    pub(crate) failovers: bool,
    /// Is the backend gone for a time?
    pub(crate) outages: bool,
    /// Is the backend's clock set back?
    pub(crate) clock_set_back: bool,
    /// Are tables swept?
    pub(crate) sweeps: bool,
    /// Does an instance go on deciding while its background gets no time?
    pub(crate) stalls: bool,
    /// Does the service itself take and give tokens?
    pub(crate) adjustments: bool,
    pub(crate) credit: u64,
    pub(crate) on_failure: OnFailure,
}

impl Setup {
    /// Several instances, and a network that does no harm.
    pub(crate) fn calm(random: &mut Random, limits: Limits) -> Self {
        Self {
            limits,
            rule: None,
            in_flight: None,
            instances: random.within(1..=5),
            tenants: usize::try_from(random.within(1..=TENANTS.len() as u64)).unwrap(),
            largest_cost: random.within(1..=3),
            interval: Nanos::from_millis(random.of(&[100, 200, 250, 250, 400])),
            time_to_live: Nanos::from_millis(random.of(&[1500, 2000, 3000])),
            time: Nanos::from_millis(random.within(4000..=9000)),
            lost: 0,
            doubled: 0,
            slow: 0,
            given_up: 0,
            crashes: false,
            wipes: false,
            failovers: false,
            outages: false,
            clock_set_back: false,
            sweeps: false,
            stalls: false,
            adjustments: false,
            credit: 0,
            on_failure: OnFailure::Deny,
        }
    }

    /// The same with a network that loses, doubles and delays, now more, now less.
    pub(crate) fn lossy(random: &mut Random, limits: Limits) -> Self {
        Self {
            lost: random.below(3) * random.below(20),
            doubled: random.below(3) * random.below(20),
            slow: random.below(3) * random.below(12),
            ..Self::calm(random, limits)
        }
    }
}

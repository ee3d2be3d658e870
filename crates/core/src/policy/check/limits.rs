//! Limits that can be enforced.

use crate::limit::Grant;
use crate::policy::fault::{Faults, Place};
use crate::policy::spec::{AlgorithmSpec, LimitSpec, NumberOr, QuotaSpec, RuleSpec, WindowSpec};
use crate::window::Window;
use crate::{LimitError, Nanos};

/// 2^53 - 1: the largest whole number that JavaScript counts to.
const LARGEST: u64 = (1 << 53) - 1;

/// Where the parts of a limit stand, in the words of who wrote the policy.
struct Places<'a> {
    quota: Place<'a>,
    burst: Place<'a>,
    window: Place<'a>,
}

impl<'a> Places<'a> {
    fn under(place: &'a Place<'a>) -> Self {
        Self { quota: place.key("quota"), burst: place.key("burst"), window: place.key("window") }
    }
}

pub(super) fn default(faults: &mut Faults, limit: &LimitSpec) -> Option<Grant> {
    let places = Places {
        quota: Place::root("defaultQuota"),
        burst: Place::root("burstAllowance"),
        window: Place::root("window"),
    };
    tokens(faults, &places, limit.quota, limit.burst, limit.window_ms, limit.algorithm)
}

pub(super) fn tier(faults: &mut Faults, place: &Place<'_>, limit: &LimitSpec) -> Option<Grant> {
    tokens(faults, &Places::under(place), limit.quota, limit.burst, limit.window_ms, limit.algorithm)
}

/// The limit of a rule, which has one quota or one concurrency.
pub(super) fn rule(faults: &mut Faults, place: &Place<'_>, rule: &RuleSpec) -> Option<Grant> {
    let places = Places::under(place);
    let burst = rule.burst.unwrap_or(0);
    match (rule.quota, rule.concurrency) {
        (None, None) => {
            faults.add(place, "neither quota nor concurrency", "one of them");
            None
        }
        (_, Some(most)) => {
            let mut excess = |place: &Place<'_>, given: Option<String>, what: &str| {
                if let Some(given) = given {
                    let accepted = format!("no {what} beside concurrency, which counts requests in flight");
                    faults.add(place, given, accepted);
                }
            };
            excess(&places.quota, rule.quota.map(quota_text), "quota");
            excess(&places.burst, rule.burst.map(|burst| burst.to_string()), "burst");
            excess(&places.window, rule.window_ms.map(window_text), "window");
            excess(&place.key("algorithm"), rule.algorithm.map(algorithm_text), "algorithm");
            concurrency(faults, &place.key("concurrency"), most)
        }
        (Some(NumberOr::Word(_)), None) => {
            is_whole(faults, &places.burst, burst, 0);
            Some(Grant::Unlimited)
        }
        (Some(quota), None) => {
            let Some(window) = rule.window_ms else {
                faults.add(&places.window, "nothing", "the time in which the quota is granted");
                return None;
            };
            tokens(faults, &places, quota, burst, window, rule.algorithm.unwrap_or_default())
        }
    }
}

fn concurrency(faults: &mut Faults, place: &Place<'_>, most: u64) -> Option<Grant> {
    if !is_whole(faults, place, most, 1) {
        return None;
    }
    let grant = Grant::Concurrency { most };
    match grant.limit() {
        Ok(_) => Some(grant),
        Err(error) => {
            faults.add(place, most, format!("a limit that can be enforced: {error}"));
            None
        }
    }
}

fn tokens(
    faults: &mut Faults,
    places: &Places<'_>,
    quota: QuotaSpec,
    burst: u64,
    window: WindowSpec,
    algorithm: AlgorithmSpec,
) -> Option<Grant> {
    let mut whole = is_whole(faults, &places.burst, burst, 0);
    let span = match window {
        NumberOr::Word(_) => Window::Month,
        NumberOr::Number(millis) => {
            whole &= is_whole(faults, &places.window, millis, 1);
            Window::Span(Nanos::from_millis(millis))
        }
    };
    let quota = match quota {
        NumberOr::Word(_) => return whole.then_some(Grant::Unlimited),
        NumberOr::Number(quota) => quota,
    };
    if !is_whole(faults, &places.quota, quota, 0) || !whole {
        return None;
    }
    let grant = Grant::Tokens { algorithm: algorithm.into(), quota, burst, window: span };
    match grant.limit() {
        Ok(_) => Some(grant),
        Err(error) => {
            let accepted = format!("a limit that can be enforced: {error}");
            match error {
                LimitError::NoWindow | LimitError::CalendarWindow => {
                    faults.add(&places.window, window_text(window), accepted);
                }
                _ => faults.add(&places.quota, quota, accepted),
            }
            None
        }
    }
}

fn algorithm_text(algorithm: AlgorithmSpec) -> String {
    match algorithm {
        AlgorithmSpec::TokenBucket => "token-bucket",
        AlgorithmSpec::FixedWindow => "fixed-window",
        AlgorithmSpec::SlidingWindow => "sliding-window",
    }
    .to_owned()
}

fn quota_text(quota: QuotaSpec) -> String {
    match quota {
        NumberOr::Number(quota) => quota.to_string(),
        NumberOr::Word(_) => "unlimited".to_owned(),
    }
}

fn window_text(window: WindowSpec) -> String {
    match window {
        NumberOr::Number(millis) => format!("{millis} ms"),
        NumberOr::Word(_) => "month".to_owned(),
    }
}

/// Reports a number that is too small or too large.
pub(super) fn is_whole(faults: &mut Faults, place: &Place<'_>, number: u64, least: u64) -> bool {
    let whole = (least..=LARGEST).contains(&number);
    if !whole {
        faults.add(place, number, format!("a whole number from {least} to 2^53 - 1"));
    }
    whole
}

//! Policies as deployments: how a fleet comes from one policy to another, and back.
//!
//! What a fleet has agreed on is one [`Record`]. It lies in a store, and is replaced whole, by compare-and-swap, by whoever holds the
//! driver's lock with the newest fencing token. Besides, each instance keeps a [`Report`] there. All else is a function of the record, the
//! reports and the store's clock: what an instance does ([`follow()`]), and what the driver does next ([`drive()`]).
//!
//! Reading order:
//! 1. [`revision`], [`execution`], [`micros`]: the words.
//! 2. [`record`]: what is agreed on; [`phase`], [`strategy`], [`settings`]: parts of it.
//! 3. [`mod@follow`]: what it means to an instance; `members`: who belongs to a step; [`follower`]: an instance's part in it.
//! 4. [`report`]: what an instance says; [`tallies`]: what it counts; [`checks`]: what is judged by that.
//! 5. [`mod@drive`]: phase by phase; [`mod@succeed`]: after a driver is gone; [`mod@propose`]: how rollouts begin, and are ended by somebody;
//!    [`mod@boot`]: what an instance does that starts with a policy of its own.
//! 6. [`audit`]: what the audit trail says; [`log`]: what people are shown.
//!
//! What holds, whoever dies, sleeps or is late:
//! - At most two policies are enforced at any time, outside of what has lost touch with the store. For the first instance comes to decide by
//!   a candidate only after all that live have said, upon the record of this very rollout, that they decide by `from`.
//! - Nothing but a driver with the newest fencing token changes anything, and only upon what it has seen.
//! - Every phase ends by itself: by acknowledgements, or by the patience that there is with each instance.

pub mod audit;
pub mod boot;
pub mod checks;
pub mod drive;
pub mod execution;
pub mod follow;
pub mod follower;
pub mod log;
mod members;
pub mod micros;
pub mod phase;
pub mod propose;
pub mod record;
pub mod report;
pub mod revision;
#[cfg(test)]
mod samples;
pub mod settings;
pub mod strategy;
pub mod succeed;
pub mod tallies;

pub use boot::{Boot, boot};
pub use checks::{Check, Finding, Scope, Verdict};
pub use drive::{Step, View, drive};
pub use execution::{ExecutionId, NotAnExecution};
pub use follow::{Swap, Target, follow};
pub use follower::Follower;
pub use log::ExecutionLog;
pub use members::members;
pub use micros::Micros;
pub use phase::{Phase, Reason};
pub use propose::{Proposal, Refused, adopt, confirm, propose, rollback};
pub use record::{Record, RecordError, Refusal, Rollout};
pub use report::{Ask, ImageFault, Process, Report, Role, Wish};
pub use revision::Revision;
pub use settings::{Settings, SettingsError, Thresholds};
pub use strategy::{Steps, StepsError, Strategy};
pub use succeed::succeed;
pub use tallies::{Judged, Outcomes, Round, Tallies, TenantTally};

//! A store, wherever it is.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{
    Amendments, Confirmed, Control, Fence, Glance, Hints, ImageHash, Refused, Snapshot, Trail, Twin, Write,
    Written,
};
use crate::Failure;

/// The control plane's store: in a backend, or in the process, by the process's clock. Every operation is described at [`Control`].
#[derive(Debug, Clone)]
pub enum Store {
    /// In a backend.
    Redis(Control),
    /// In the process.
    InProcess(Arc<Twin>),
}

#[expect(clippy::missing_errors_doc, reason = "they are those of `Control`")]
impl Store {
    /// See [`Control::read`].
    pub async fn read(&self) -> Result<Snapshot, Failure> {
        match self {
            Self::Redis(control) => control.read().await,
            Self::InProcess(twin) => Ok(twin.read(now())),
        }
    }

    /// See [`Control::acquire`].
    pub async fn acquire(&self, instance: u64, time_to_live: Duration) -> Result<Option<Fence>, Failure> {
        match self {
            Self::Redis(control) => control.acquire(instance, time_to_live).await,
            Self::InProcess(twin) => Ok(twin.acquire(instance, time_to_live, now())),
        }
    }

    /// See [`Control::renew`].
    pub async fn renew(&self, instance: u64, fence: Fence, time_to_live: Duration) -> Result<bool, Failure> {
        match self {
            Self::Redis(control) => control.renew(instance, fence, time_to_live).await,
            Self::InProcess(twin) => Ok(twin.renew(instance, fence, time_to_live, now())),
        }
    }

    /// See [`Control::release`].
    pub async fn release(&self, instance: u64, fence: Fence) -> Result<bool, Failure> {
        match self {
            Self::Redis(control) => control.release(instance, fence).await,
            Self::InProcess(twin) => Ok(twin.release(instance, fence, now())),
        }
    }

    /// See [`Control::write`].
    pub async fn write(&self, write: &Write) -> Result<Written, Refused> {
        match self {
            Self::Redis(control) => control.write(write).await,
            Self::InProcess(twin) => twin.write(write, now()),
        }
    }

    /// See [`Control::confirm`].
    pub async fn confirm(
        &self,
        written: Written,
        replicas: u32,
        time: Duration,
    ) -> Result<Confirmed, Refused> {
        match self {
            Self::Redis(control) => control.confirm(written, replicas, time).await,
            Self::InProcess(twin) => twin.confirm(written),
        }
    }

    /// See [`Control::report`].
    pub async fn report(
        &self,
        instance: u64,
        report: &[u8],
        time_to_live: Duration,
    ) -> Result<Glance, Failure> {
        match self {
            Self::Redis(control) => control.report(instance, report, time_to_live).await,
            Self::InProcess(twin) => Ok(twin.report(instance, report, time_to_live, now())),
        }
    }

    /// See [`Control::retire`].
    pub async fn retire(&self, instance: u64) -> Result<(), Failure> {
        match self {
            Self::Redis(control) => control.retire(instance).await,
            Self::InProcess(twin) => {
                twin.retire(instance);
                Ok(())
            }
        }
    }

    /// See [`Control::put_image`].
    pub async fn put_image(&self, hash: &ImageHash, bytes: &[u8]) -> Result<(), Refused> {
        match self {
            Self::Redis(control) => control.put_image(hash, bytes).await,
            Self::InProcess(twin) => twin.put_image(hash, bytes),
        }
    }

    /// See [`Control::image`].
    pub async fn image(&self, hash: &ImageHash) -> Result<Option<Vec<u8>>, Failure> {
        match self {
            Self::Redis(control) => control.image(hash).await,
            Self::InProcess(twin) => Ok(twin.image(hash)),
        }
    }

    /// See [`Control::forget_images`].
    pub async fn forget_images(&self, fence: Fence, keep: &[ImageHash]) -> Result<u64, Refused> {
        match self {
            Self::Redis(control) => control.forget_images(fence, keep).await,
            Self::InProcess(twin) => twin.forget_images(fence, keep, now()),
        }
    }

    /// See [`Control::amend`].
    pub async fn amend(&self, revision: u64, amendment: &[u8], audit: &[Vec<u8>]) -> Result<u64, Refused> {
        match self {
            Self::Redis(control) => control.amend(revision, amendment, audit).await,
            Self::InProcess(twin) => twin.amend(revision, amendment, audit, now()),
        }
    }

    /// See [`Control::amendments`].
    pub async fn amendments(&self, from: u64, count: u32) -> Result<Amendments, Failure> {
        match self {
            Self::Redis(control) => control.amendments(from, count).await,
            Self::InProcess(twin) => Ok(twin.amendments(from, count)),
        }
    }

    /// See [`Control::audit`].
    pub async fn audit(&self, count: u32, before: Option<u64>) -> Result<Trail, Failure> {
        match self {
            Self::Redis(control) => control.audit(count, before).await,
            Self::InProcess(twin) => Ok(twin.audit(count, before)),
        }
    }

    /// See [`Control::hints`].
    pub async fn hints(&self) -> Result<Hints, Failure> {
        match self {
            Self::Redis(control) => control.hints().await,
            Self::InProcess(twin) => Ok(twin.hints()),
        }
    }
}

/// Microseconds since the Unix epoch.
fn now() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

//! Limits as declared, in few bytes: a thousand tenants with limits of their own share a handful of windows.

use super::bytes::{Cursor, Writer};
use super::layout::{ImageError, Section};
use crate::Nanos;
use crate::limit::{Algorithm, Grant, Limit};
use crate::window::Window;

const UNLIMITED: u8 = 0;
const TOKEN_BUCKET: u8 = 1;
const FIXED_WINDOW: u8 = 2;
const SLIDING_WINDOW: u8 = 3;
const CONCURRENCY: u8 = 4;

/// What sorts limits: the same on every machine.
pub(crate) type Order = (u8, (bool, u64), u64, u64);

/// See [`Order`].
pub(crate) fn order(grant: Grant) -> Order {
    match grant {
        Grant::Unlimited => (UNLIMITED, (false, 0), 0, 0),
        Grant::Concurrency { most } => (CONCURRENCY, (false, 0), most, 0),
        Grant::Tokens { algorithm, quota, burst, window } => {
            (kind(algorithm), window_order(window), quota, burst)
        }
    }
}

const fn kind(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::TokenBucket => TOKEN_BUCKET,
        Algorithm::FixedWindow => FIXED_WINDOW,
        Algorithm::SlidingWindow => SLIDING_WINDOW,
        Algorithm::Concurrency => CONCURRENCY,
    }
}

const fn window_order(window: Window) -> (bool, u64) {
    match window {
        Window::Month => (false, 0),
        Window::Span(span) => (true, span.get()),
    }
}

/// The different windows of a policy, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Windows(Vec<Window>);

impl Windows {
    pub(crate) fn of(grants: impl Iterator<Item = Grant>) -> Self {
        let mut windows = Vec::new();
        for grant in grants {
            // Most limits have the window of the one before.
            if let Grant::Tokens { window, .. } = grant
                && windows.last() != Some(&window)
            {
                windows.push(window);
            }
        }
        windows.sort_unstable_by_key(|&window| window_order(window));
        windows.dedup();
        Self(windows)
    }

    /// A count, then each in nanoseconds, the calendar month being 0 and a window of no length not being possible.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = Writer::default();
        let months = usize::from(self.0.first() == Some(&Window::Month));
        out.count(months);
        out.count(self.0.len() - months);
        for window in &self.0 {
            if let Window::Span(span) = window {
                out.number(span.get());
            }
        }
        out.0
    }

    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Self, ImageError> {
        let months = cursor.below(2, "it has more than one calendar month")?;
        let spans = cursor.list(usize::MAX, |cursor| Ok(Window::Span(Nanos::new(cursor.number()?))))?;
        cursor.end()?;
        let mut windows = Vec::with_capacity(months + spans.len());
        windows.extend((0..months).map(|_| Window::Month));
        windows.extend(spans);
        if windows.is_sorted_by(|&a, &b| window_order(a) < window_order(b)) {
            Ok(Self(windows))
        } else {
            Err(ImageError::Malformed { section: Section::Windows, what: "they do not ascend" })
        }
    }

    fn index(&self, window: Window) -> usize {
        self.0.partition_point(|&other| window_order(other) < window_order(window))
    }

    /// The flags are those of [`Grant`]s' writers: they go in the upper five bits of the first byte.
    pub(crate) fn write_flagged(&self, out: &mut Writer, flags: u8, grant: Grant) {
        match grant {
            Grant::Unlimited => out.byte(flags << 3 | UNLIMITED),
            Grant::Concurrency { most } => {
                out.byte(flags << 3 | CONCURRENCY);
                out.number(most);
            }
            Grant::Tokens { algorithm, quota, burst, window } => {
                out.byte(flags << 3 | kind(algorithm));
                out.count(self.index(window));
                out.number(quota);
                out.number(burst);
            }
        }
    }

    pub(crate) fn read_flagged(&self, cursor: &mut Cursor<'_>) -> Result<(u8, Grant, Limit), ImageError> {
        let first = cursor.byte()?;
        let algorithm = match first & 7 {
            UNLIMITED => None,
            TOKEN_BUCKET => Some(Algorithm::TokenBucket),
            FIXED_WINDOW => Some(Algorithm::FixedWindow),
            SLIDING_WINDOW => Some(Algorithm::SlidingWindow),
            CONCURRENCY => Some(Algorithm::Concurrency),
            _ => return Err(cursor.fault("a limit is of an unknown kind")),
        };
        let grant = match algorithm {
            None => Grant::Unlimited,
            Some(Algorithm::Concurrency) => Grant::Concurrency { most: cursor.number()? },
            Some(algorithm) => {
                let window = cursor.below(self.0.len(), "a limit has an unknown window")?;
                let window =
                    self.0.get(window).copied().ok_or(cursor.fault("a limit has an unknown window"))?;
                Grant::Tokens { algorithm, quota: cursor.number()?, burst: cursor.number()?, window }
            }
        };
        let limit = grant.limit().map_err(|_| cursor.fault("a limit cannot be enforced"))?;
        Ok((first >> 3, grant, limit))
    }

    pub(crate) fn write_grant(&self, out: &mut Writer, grant: Grant) {
        self.write_flagged(out, 0, grant);
    }

    pub(crate) fn read_grant(&self, cursor: &mut Cursor<'_>) -> Result<Grant, ImageError> {
        match self.read_flagged(cursor)? {
            (0, grant, _) => Ok(grant),
            _ => Err(cursor.fault("a limit has unknown flags")),
        }
    }
}

//! What can go wrong on the way to a store and back.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::Notify;

use super::Request;

/// What happens to one request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The connection is reset when the request begins; the store hears nothing of it.
    ResetBefore,
    /// The connection is reset when half of what the request carries is read; the store hears nothing of it.
    ResetInRequest,
    /// The store does what it was asked for, and the connection is reset in the place of the answer.
    ResetAfter,
    /// The connection is reset in the middle of the answer.
    ResetInAnswer,
    /// The connection ends in an orderly way before as many bytes have come as the answer promised.
    Truncate,
    /// The answer comes in pieces of so many bytes, with this pause before each.
    Trickle(usize, Duration),
    /// The request is read and never answered.
    Hang,
    /// The store is not asked.
    Refuse(Refusal),
    /// The request waits until it is let go, and then goes its way.
    Hold(Hold),
}

impl Fault {
    pub fn name(&self) -> &'static str {
        match self {
            Self::ResetBefore => "reset before the request",
            Self::ResetInRequest => "reset in the request",
            Self::ResetAfter => "reset after the request",
            Self::ResetInAnswer => "reset in the answer",
            Self::Truncate => "truncated answer",
            Self::Trickle(..) => "slow answer",
            Self::Hang => "no answer",
            Self::Refuse(refusal) => refusal.code,
            Self::Hold(_) => "held",
        }
    }
}

/// An error as S3 answers it.
#[derive(Debug, Clone, Copy)]
pub struct Refusal {
    pub status: u16,
    pub code: &'static str,
    /// Seconds.
    pub retry_after: Option<u32>,
    /// Where AWS says that the bucket is.
    pub region: Option<&'static str>,
}

impl Refusal {
    pub const SLOW_DOWN: Self = Self::new(503, "SlowDown", Some(1));
    pub const TOO_MANY: Self = Self::new(429, "TooManyRequests", Some(1));
    pub const INTERNAL: Self = Self::new(500, "InternalError", None);
    pub const SKEWED: Self = Self::new(403, "RequestTimeTooSkewed", None);
    pub const NO_KEY: Self = Self::new(403, "InvalidAccessKeyId", None);
    /// S3 answers this one with 400.
    pub const EXPIRED: Self = Self::new(400, "ExpiredToken", None);
    pub const DENIED: Self = Self::new(403, "AccessDenied", None);
    /// What stores say that do not know a request.
    pub const NOT_IMPLEMENTED: Self = Self::new(501, "NotImplemented", None);
    pub const NOT_ALLOWED: Self = Self::new(405, "MethodNotAllowed", None);

    /// What Alibaba Cloud says to a bucket in the path.
    pub const HOST_STYLE: Self = Self::new(403, "SecondLevelDomainForbidden", None);

    const fn new(status: u16, code: &'static str, retry_after: Option<u32>) -> Self {
        Self {
            status,
            code,
            retry_after,
            region: None,
        }
    }

    /// What AWS says where the bucket is in another region than its endpoint.
    #[must_use]
    pub const fn elsewhere(region: &'static str) -> Self {
        Self {
            region: Some(region),
            ..Self::new(301, "PermanentRedirect", None)
        }
    }
}

/// A request that is kept waiting.
#[derive(Debug, Clone, Default)]
pub struct Hold {
    arrived: Arc<Notify>,
    go: Arc<Notify>,
}

impl Hold {
    /// Returns when the request is there.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }

    pub fn let_go(&self) {
        self.go.notify_one();
    }

    pub(super) async fn wait(&self) {
        self.arrived.notify_one();
        self.go.notified().await;
    }
}

/// A plan by which so many requests of a hundred fail, each in another way. The same seed gives the same faults in the
/// same order; which request meets which depends on the agents.
pub fn mix(seed: u64, percent: u32) -> impl FnMut(&Request) -> Option<Fault> + Send + 'static {
    let mut random = StdRng::seed_from_u64(seed);
    move |_| {
        if random.random_range(0..100) >= percent {
            return None;
        }
        let fault = match random.random_range(0..11) {
            0 => Fault::ResetBefore,
            1 => Fault::ResetInRequest,
            2 => Fault::ResetAfter,
            3 => Fault::ResetInAnswer,
            4 => Fault::Truncate,
            5 => Fault::Trickle(random.random_range(50..500), Duration::from_millis(20)),
            6 => Fault::Refuse(Refusal::SLOW_DOWN),
            7 => Fault::Refuse(Refusal::TOO_MANY),
            8 => Fault::Refuse(Refusal::SKEWED),
            9 => Fault::Refuse(Refusal::NO_KEY),
            _ => Fault::Hang,
        };
        Some(fault)
    }
}

//! A connection's place at the table, and a service that says there when a request is being handled.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use hyper::service::Service;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::seats::{SeatId, Seats};

/// All connections of a listener; a token ends each.
pub(super) type Table = Arc<Mutex<Seats<CancellationToken>>>;

fn locked(table: &Table) -> MutexGuard<'_, Seats<CancellationToken>> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The place of a connection; it is free once the last clone is dropped.
pub(super) struct Place {
    table: Table,
    id: SeatId,
    /// A first request has come.
    asked: Notify,
}

impl Place {
    /// Takes a place. Who must go for it is told besides, by address and token.
    pub(super) fn take(
        table: &Table,
        source: IpAddr,
        end: CancellationToken,
    ) -> (Arc<Self>, Option<(IpAddr, CancellationToken)>) {
        let (id, gone) = locked(table).enter(source, end);
        let place = Self {
            table: table.clone(),
            id,
            asked: Notify::new(),
        };
        (Arc::new(place), gone)
    }

    /// Ends when no request has come within `patience`; never if one has.
    pub(super) async fn asks_nothing(&self, patience: Duration) {
        if tokio::time::timeout(patience, self.asked.notified())
            .await
            .is_ok()
        {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        locked(&self.table).leave(self.id);
    }
}

/// A request is being handled as long as this is there.
struct Handling(Arc<Place>);

impl Handling {
    fn begin(place: &Arc<Place>) -> Self {
        place.asked.notify_one();
        locked(&place.table).set_busy(place.id, true);
        Self(place.clone())
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        locked(&self.0.table).set_busy(self.0.id, false);
    }
}

/// A service of one connection.
pub(super) struct Attended<S> {
    inner: S,
    place: Arc<Place>,
}

impl<S> Attended<S> {
    pub(super) fn new(inner: S, place: Arc<Place>) -> Self {
        Self { inner, place }
    }
}

impl<R, S> Service<R> for Attended<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
    S::Response: 'static,
    S::Error: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn call(&self, request: R) -> Self::Future {
        let handling = Handling::begin(&self.place);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            drop(handling);
            answer
        })
    }
}

//! A listener that lets in who has a certificate, and nobody else.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Whom a listener lets in.
#[derive(Clone)]
pub struct Tls {
    /// What it goes by now; `None`: there is no certificate of its own yet.
    pub config: watch::Receiver<Option<Arc<ServerConfig>>>,
    /// Gives the router that answers who has this certificate; `None`: nobody that is known.
    pub admit: fn(Router, &CertificateDer<'_>) -> Option<Router>,
    /// Is told of those who have no certificate that counts.
    pub refused: Arc<dyn Fn(SocketAddr) + Send + Sync>,
}

impl Tls {
    /// Lets a connection in, and says who answers it.
    ///
    /// # Errors
    /// Why not, for people.
    pub(super) async fn open(
        &mut self,
        connection: TcpStream,
        router: Router,
    ) -> io::Result<(TlsStream<TcpStream>, Router)> {
        let config = self.config.borrow_and_update().clone();
        let config = config.ok_or_else(|| io::Error::other("there is no certificate yet"))?;
        let from = connection.peer_addr()?;
        let accepted = TlsAcceptor::from(config).accept(connection).await;
        let stream = accepted.inspect_err(|error| {
            if is_about_certificates(error) {
                (self.refused)(from);
            }
        })?;
        let shown = stream.get_ref().1.peer_certificates();
        let router = shown
            .and_then(|shown| shown.first())
            .and_then(|certificate| (self.admit)(router, certificate))
            .ok_or_else(|| {
                (self.refused)(from);
                io::Error::other("its certificate says nothing that is known")
            })?;
        Ok((stream, router))
    }

    /// Ends when other certificates count than when the connection was let in.
    pub(super) async fn is_outdated(&mut self) {
        if self.config.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Somebody spoke TLS and has no certificate that is believed, or does not believe the own one. Others are no peers.
fn is_about_certificates(error: &io::Error) -> bool {
    let error = error
        .get_ref()
        .and_then(|error| error.downcast_ref::<rustls::Error>());
    matches!(
        error,
        Some(
            rustls::Error::InvalidCertificate(_)
                | rustls::Error::NoCertificatesPresented
                | rustls::Error::AlertReceived(_)
        )
    )
}

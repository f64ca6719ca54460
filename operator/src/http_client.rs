//! How the operator asks others over HTTP.

/// A client without its time limits. Connections are not kept: behind a Service, a kept one may lead to a pod that is no
/// longer there, and we ask seldom.
pub(crate) fn builder() -> reqwest::ClientBuilder {
    // reqwest has TLS in it without a provider, and wants one for plain HTTP as well. Whoever was first has set the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // A redirect would lead to a server that nobody has named.
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .pool_max_idle_per_host(0)
}

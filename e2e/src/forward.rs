//! A port of one pod, reached through the API server as `kubectl port-forward` does, without a local port.

use std::io;
use std::sync::Arc;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use zonetide_testbed::net::{BoxStream, Dial, Dialer};

pub struct PodPort {
    pods: Api<Pod>,
    pod: String,
    port: u16,
}

impl PodPort {
    pub fn dialer(client: &Client, namespace: &str, pod: &str, port: u16) -> Dialer {
        Arc::new(Self {
            pods: Api::namespaced(client.clone(), namespace),
            pod: pod.to_owned(),
            port,
        })
    }
}

impl Dial for PodPort {
    fn dial(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(async move {
            let mut forwarder = self
                .pods
                .portforward(&self.pod, &[self.port])
                .await
                .map_err(io::Error::other)?;
            let stream = forwarder
                .take_stream(self.port)
                .ok_or_else(|| io::Error::other("the port-forward has no stream"))?;
            if let Some(error) = forwarder.take_error(self.port) {
                // A refused connection is told here and leaves the stream open: end it, so that the reader sees it.
                tokio::spawn(async move {
                    if error.await.is_some() {
                        forwarder.abort();
                    }
                });
            }
            Ok(Box::new(stream) as BoxStream)
        })
    }
}

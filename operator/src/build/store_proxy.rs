//! The proxy on the way to the store, for the agent: in the variables that programs have agreed on. Its URL may have a password in
//! it, so it comes from a Secret, which is there before the servers are.

use k8s_openapi::{
    ByteString,
    api::core::v1::{EnvVar, EnvVarSource, Secret, SecretKeySelector},
};

use crate::{objectstore::StoreProxy, reconcile::plan::Plan};

/// Its key in the Secret of the peers' token.
const KEY: &str = "store-proxy";

pub(super) fn of(plan: &Plan) -> Option<&StoreProxy> {
    plan.proxy.as_ref().ok()?.as_ref()
}

pub(super) fn add_to(mut secret: Secret, plan: &Plan) -> Secret {
    if let (Some(proxy), Some(data)) = (of(plan), &mut secret.data) {
        let url = ByteString(proxy.url().expose().as_bytes().to_vec());
        data.insert(KEY.to_owned(), url);
    }
    secret
}

pub(super) fn environment(plan: &Plan) -> Vec<EnvVar> {
    let Some(proxy) = of(plan) else {
        return Vec::new();
    };
    let url = |name: &str| EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: plan.names.peers_secret(),
                key: KEY.to_owned(),
                // Servers of the revision before start without it once it is taken away.
                optional: Some(true),
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
    let except = EnvVar {
        name: "NO_PROXY".to_owned(),
        value: Some(proxy.except().to_owned()),
        ..EnvVar::default()
    };
    vec![url("HTTP_PROXY"), url("HTTPS_PROXY"), except]
}

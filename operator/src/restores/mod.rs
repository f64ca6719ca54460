//! Has an agent do what a `DnsRestore` asks for, once. `turn` says which of several is done now; `look` reads what there is and asks an
//! agent; `judge` makes a status of what came of it and is pure; `client` and `message` are what goes over the wire. A `DnsRestore`
//! that is done or has failed is left alone for ever: its status says so, whoever looks at it.
//!
//! The UID is the ID of the run at the agent. So an operator that was restarted finds the run that it began, and begins it again where
//! the agent was restarted, too: what is as it was is not written again.

mod client;
mod judge;
mod look;
mod message;
mod servers;
mod turn;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::DeserializeGuard,
    runtime::controller::Action,
};
use serde_json::json;
use zonetide_crds::{DnsRestore, DnsRestoreStatus};

pub use self::{
    client::{Door, RealRestorers, Restorers},
    turn::Turns,
};
use self::{judge::Next, look::Found, turn::Turn};
use crate::{
    context::Context,
    error::Error,
    names::MANAGER,
    reconcile::{
        fetch::FetchError,
        status::{self, StatusError},
    },
};

type Guarded = DeserializeGuard<DnsRestore>;

/// The controller's entry.
pub async fn reconcile(object: Arc<Guarded>, context: Arc<Context>) -> Result<Action, Error> {
    let restore = match &object.0 {
        Ok(restore) => restore,
        Err(invalid) => return Err(Error::Unreadable(invalid.error.clone())),
    };
    if is_over(restore) {
        return Ok(Action::await_change());
    }
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    Box::pin(run(&context, &namespace, &name, Timestamp::now())).await
}

/// What the controller does after an error.
#[allow(clippy::needless_pass_by_value)] // the controller's signature
pub fn error_policy(object: Arc<Guarded>, error: &Error, context: Arc<Context>) -> Action {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    if let Error::Unreadable(_) = error {
        tracing::error!(%namespace, %name, error = error.describe(), "cannot read the DnsRestore");
        return Action::await_change();
    }
    let wait = context.restoring.failed(&namespace, &name);
    tracing::warn!(%namespace, %name, error = error.describe(), retry_in = ?wait, "cannot see to a DnsRestore");
    Action::requeue(wait)
}

async fn run(context: &Context, namespace: &str, name: &str, now: Timestamp) -> Result<Action, Error> {
    // Not from the cache, which may not know yet that it is done.
    let api: Api<DnsRestore> = Api::namespaced(context.client.clone(), namespace);
    let restore = api.get_opt(name).await.map_err(|source| FetchError::Get {
        what: "the DnsRestore",
        name: name.to_owned(),
        source,
    })?;
    let Some(restore) = restore.filter(|restore| !is_over(restore)) else {
        context.restoring.worked(namespace, name);
        return Ok(Action::await_change());
    };
    // Held until what has begun is in the status.
    let (found, _held) = match turn::turn(context, &restore).await? {
        Turn::Own(held) => (look::look(context, &restore, now).await?, held),
        Turn::Other(other) => (Found::Waits { other }, None),
    };
    let fails = matches!(&found, Found::Told { account, .. } if account.failed.is_some());
    let Next { status, wait } = judge::next(&restore, &found, now);
    report(context, &restore, &status).await?;
    let wait = match wait {
        Some(_) if fails => Some(context.restoring.failed(namespace, name)),
        wait => wait,
    };
    let Some(wait) = wait else {
        context.restoring.worked(namespace, name);
        return Ok(Action::await_change());
    };
    Ok(Action::requeue(wait.max(Duration::from_millis(100))))
}

/// There is nothing to be done any more.
fn is_over(restore: &DnsRestore) -> bool {
    let phase = restore.status.as_ref().and_then(|status| status.phase);
    restore.metadata.deletion_timestamp.is_some() || phase.is_some_and(judge::is_final)
}

/// Writes the status if it differs from what is there, and tells of it.
async fn report(context: &Context, restore: &DnsRestore, new: &DnsRestoreStatus) -> Result<(), Error> {
    let old = restore.status.clone().unwrap_or_default();
    if *new == old {
        return Ok(());
    }
    let name = restore.name_any();
    let api: Api<DnsRestore> =
        Api::namespaced(context.client.clone(), &restore.namespace().unwrap_or_default());
    let patch = json!({
        "apiVersion": DnsRestore::api_version(&()),
        "kind": DnsRestore::kind(&()),
        // One of the same name that was made meanwhile is another one.
        "metadata": {"name": name, "uid": restore.uid()},
        "status": new,
    });
    let params = PatchParams::apply(MANAGER).force();
    match api.patch_status(&name, &params, &Patch::Apply(patch)).await {
        Ok(_) => {}
        // Deleted while we worked: nobody to tell.
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => return Ok(()),
        Err(source) => return Err(StatusError::WriteRestore { name, source }.into()),
    }
    status::tell(context, &restore.object_ref(&()), judge::notices(&old, new)).await;
    Ok(())
}

#[cfg(test)]
mod real_tests;
#[cfg(test)]
mod scenarios;

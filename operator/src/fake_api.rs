//! An API server for tests, just large enough: it keeps what it is sent, and a list of the requests.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use http::{Method, Request, Response, StatusCode};
use kube::{Client, client::Body};
use serde_json::{Value, json};

/// A request that changes something.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Value,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    changes: Vec<Change>,
    /// Paths whose changes are refused.
    forbidden: Vec<String>,
    /// Ends of paths that may not be listed.
    hidden: Vec<String>,
    /// The namespaces are being deleted.
    ending: bool,
}

#[derive(Clone, Default)]
pub(crate) struct FakeApi(Arc<Mutex<State>>);

impl FakeApi {
    /// A client whose requests come here.
    pub(crate) fn client(&self) -> Client {
        let (service, mut handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
        let api = self.clone();
        tokio::spawn(async move {
            while let Some((request, respond)) = handle.next_request().await {
                let (parts, body) = request.into_parts();
                let bytes = body.collect_bytes().await.unwrap();
                let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
                let query = parts.uri.query().unwrap_or_default();
                let (status, answer) = api.answer(&parts.method, parts.uri.path(), query, body);
                let bytes = serde_json::to_vec(&answer).unwrap();
                respond.send_response(
                    Response::builder()
                        .status(status)
                        .body(Body::from(bytes))
                        .unwrap(),
                );
            }
        });
        Client::new(service, "default")
    }

    pub(crate) fn put(&self, path: &str, object: Value) {
        self.state().objects.insert(path.to_owned(), object);
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        self.state().objects.get(path).cloned().unwrap_or(Value::Null)
    }

    pub(crate) fn remove(&self, path: &str) {
        self.state().objects.remove(path);
    }

    pub(crate) fn forbid(&self, path: &str) {
        self.state().forbidden.push(path.to_owned());
    }

    pub(crate) fn hide(&self, kind: &str) {
        self.state().hidden.push(kind.to_owned());
    }

    pub(crate) fn allow_all(&self) {
        self.state().forbidden.clear();
    }

    /// From now on nothing new is let in.
    pub(crate) fn end_namespace(&self) {
        self.state().ending = true;
    }

    /// The changes since the last call.
    pub(crate) fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut self.state().changes)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn answer(&self, method: &Method, path: &str, query: &str, body: Value) -> (StatusCode, Value) {
        let mut state = self.state();
        if method == Method::GET {
            return read(&state, path, query);
        }
        state.changes.push(Change {
            method: method.clone(),
            path: path.to_owned(),
            body: body.clone(),
        });
        if state.forbidden.iter().any(|forbidden| forbidden == path) {
            return refusal(StatusCode::FORBIDDEN, "Forbidden");
        }
        if method == Method::POST && state.ending {
            let (code, mut status) = refusal(StatusCode::FORBIDDEN, "Forbidden");
            status["details"] = json!({"causes": [{"reason": "NamespaceTerminating"}]});
            return (code, status);
        }
        if method == Method::DELETE {
            return match state.objects.remove(path) {
                Some(_) => (
                    StatusCode::OK,
                    json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}),
                ),
                None => refusal(StatusCode::NOT_FOUND, "NotFound"),
            };
        }
        if method == Method::POST {
            return (StatusCode::CREATED, body);
        }
        let target = path.strip_suffix("/status").unwrap_or(path);
        let old = state.objects.get(target).cloned().unwrap_or(json!({}));
        let new = merged(old, &body, path.ends_with("/status"));
        state.objects.insert(target.to_owned(), new.clone());
        (StatusCode::OK, new)
    }
}

/// Sent fields replace kept ones, the status only through its own path, and null takes a label away.
fn merged(mut old: Value, sent: &Value, status: bool) -> Value {
    if status {
        old["status"] = sent["status"].clone();
        return old;
    }
    if let Some(labels) = sent.pointer("/metadata/labels").and_then(Value::as_object) {
        for (key, value) in labels {
            if value.is_null() {
                if let Some(kept) = old.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
                    kept.remove(key);
                }
            } else {
                old["metadata"]["labels"][key] = value.clone();
            }
        }
    }
    for (key, value) in sent.as_object().into_iter().flatten() {
        match key.as_str() {
            "status" => {}
            "metadata" => {
                for (key, value) in value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .filter(|(key, _)| *key != "labels")
                {
                    old["metadata"][key] = value.clone();
                }
            }
            _ => old[key] = value.clone(),
        }
    }
    old
}

fn read(state: &State, path: &str, query: &str) -> (StatusCode, Value) {
    let listed = [
        "/pods",
        "/statefulsets",
        "/persistentvolumeclaims",
        "/ingresses",
        "/configmaps",
        "/endpointslices",
        "/events",
        "/dnsrestores",
    ];
    if state.hidden.iter().any(|kind| path.ends_with(kind.as_str())) {
        return refusal(StatusCode::FORBIDDEN, "Forbidden");
    }
    if listed.iter().any(|kind| path.ends_with(kind)) {
        let prefix = format!("{path}/");
        let items: Vec<&Value> = state
            .objects
            .iter()
            .filter(|(key, value)| key.starts_with(&prefix) && is_selected(value, query))
            .map(|(_, value)| value)
            .collect();
        return (
            StatusCode::OK,
            json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}),
        );
    }
    match state.objects.get(path) {
        Some(object) => (StatusCode::OK, object.clone()),
        None => refusal(StatusCode::NOT_FOUND, "NotFound"),
    }
}

/// Whether an object has the labels that a list is asked for. Of those it has none of, nothing is asked: tests leave some out.
fn is_selected(object: &Value, query: &str) -> bool {
    let query = query.replace("%3D", "=").replace("%2C", ",").replace("%2F", "/");
    let Some((_, selector)) = query.split_once("labelSelector=") else {
        return true;
    };
    let selector = selector.split('&').next().unwrap_or_default();
    let pairs = selector.split(',').filter_map(|pair| pair.split_once('='));
    let labels = &object["metadata"]["labels"];
    pairs
        .into_iter()
        .all(|(key, value)| labels[key].is_null() || labels[key] == value)
}

fn refusal(code: StatusCode, reason: &str) -> (StatusCode, Value) {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "message": reason.to_lowercase(), "reason": reason, "code": code.as_u16(),
    });
    (code, status)
}

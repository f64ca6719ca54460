//! Writes Events.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, Recorder, Reporter},
};

/// More than these are forgotten. Then an Event that comes again is a new one, instead of an old one counted up.
const REMEMBERED: usize = 512;

/// kube's Recorder counts an Event up when one with the same reason was written not long ago, and keeps the first one's
/// text. Our texts differ (which server, how many), so each text has a Recorder of its own.
pub struct Events {
    client: Client,
    reporter: Reporter,
    recorders: Mutex<HashMap<String, Recorder>>,
}

impl Events {
    pub fn new(client: Client, reporter: Reporter) -> Self {
        Self {
            client,
            reporter,
            recorders: Mutex::default(),
        }
    }

    pub async fn publish(&self, event: &Event, regarding: &ObjectReference) -> Result<(), kube::Error> {
        self.recorder(event.note.as_deref().unwrap_or_default())
            .publish(event, regarding)
            .await
    }

    fn recorder(&self, note: &str) -> Recorder {
        let mut recorders = self.recorders.lock().unwrap_or_else(PoisonError::into_inner);
        if recorders.len() >= REMEMBERED && !recorders.contains_key(note) {
            recorders.clear();
        }
        let make = || Recorder::new(self.client.clone(), self.reporter.clone());
        recorders.entry(note.to_owned()).or_insert_with(make).clone()
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::events::EventType;

    use super::*;
    use crate::fake_api::FakeApi;

    fn event(note: &str) -> Event {
        Event {
            type_: EventType::Normal,
            reason: "Same".into(),
            note: Some(note.into()),
            action: "Same".into(),
            secondary: None,
        }
    }

    #[tokio::test]
    async fn the_same_text_is_counted_up_and_another_is_written_anew() {
        let api = FakeApi::default();
        let events = Events::new(
            api.client(),
            Reporter {
                controller: "test".into(),
                instance: None,
            },
        );
        let regarding = ObjectReference {
            name: Some("tide".into()),
            namespace: Some("shore".into()),
            ..ObjectReference::default()
        };
        for note in ["one", "one", "two"] {
            events.publish(&event(note), &regarding).await.unwrap();
        }
        let changes = api.take_changes();
        let told: Vec<_> = changes
            .iter()
            .map(|change| (change.method.as_str(), change.body["note"].as_str().unwrap()))
            .collect();
        assert_eq!(told, [("POST", "one"), ("PATCH", "one"), ("POST", "two")]);
    }
}

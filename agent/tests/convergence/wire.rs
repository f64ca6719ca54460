//! What servers tell each other, on a line that loses, delays, reorders and doubles it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::watch;
use zonetide_agent::snapshot::DeltaName;
use zonetide_agent::sync::peer::{Peers, Told};

use super::server::Said;

/// Most that is on the way to a server; what was told before that is lost.
const MOST: usize = 12;
/// Most of what a server heard that it may hear again.
const MOST_AGAIN: usize = 32;

#[derive(Clone)]
struct Message {
    database: String,
    name: String,
    from: String,
    object: Bytes,
}

impl Message {
    fn into_told(self) -> (String, Told) {
        let told = Told {
            name: self.name,
            from: self.from,
            object: self.object,
        };
        (self.database, told)
    }
}

#[derive(Default)]
struct State {
    /// By the server that it goes to.
    messages: BTreeMap<String, Vec<Message>>,
    /// What it heard already.
    heard: BTreeMap<String, Vec<Message>>,
    /// By server, the newest state that it told of, ns since the epoch.
    newest: BTreeMap<String, u64>,
}

/// What is on the way.
#[derive(Default)]
pub(crate) struct Wire(Mutex<State>);

impl Wire {
    /// One of the messages to a server, with its database.
    pub(crate) fn take(&self, server: &str, number: usize) -> Option<(String, Told)> {
        let mut all = self.0.lock().unwrap();
        let messages = all
            .messages
            .get_mut(server)
            .filter(|messages| !messages.is_empty())?;
        let message = messages.remove(number % messages.len());
        let heard = all.heard.entry(server.to_owned()).or_default();
        heard.push(message.clone());
        if heard.len() > MOST_AGAIN {
            heard.remove(0);
        }
        Some(message.into_told())
    }

    /// One that the server heard already, the last one first.
    pub(crate) fn again(&self, server: &str, number: usize) -> Option<(String, Told)> {
        let all = self.0.lock().unwrap();
        let heard = all.heard.get(server).filter(|heard| !heard.is_empty())?;
        let number = number % heard.len();
        Some(heard[heard.len() - 1 - number].clone().into_told())
    }

    /// What is on the way to a server is lost.
    pub(crate) fn lose(&self, server: &str) {
        self.0.lock().unwrap().messages.remove(server);
    }

    /// The newest state that a server told of.
    pub(crate) fn newest(&self, server: &str) -> u64 {
        self.0.lock().unwrap().newest.get(server).copied().unwrap_or(0)
    }

    pub(crate) fn lose_all(&self) {
        let mut all = self.0.lock().unwrap();
        all.messages.clear();
        all.heard.clear();
    }
}

/// The line as one agent has it.
pub(crate) struct Phone {
    pub(crate) own: String,
    pub(crate) others: Vec<String>,
    pub(crate) wire: Arc<Wire>,
    /// Nobody hears it.
    pub(crate) hushed: Arc<AtomicBool>,
    pub(crate) said: Said,
}

impl Peers for Phone {
    fn tell(&self, database: &str, name: &DeltaName, object: Bytes) {
        if self.hushed.load(Ordering::Relaxed) {
            return;
        }
        self.said.lock().unwrap().push(object.to_vec());
        let mut all = self.wire.0.lock().unwrap();
        let newest = all.newest.entry(self.own.clone()).or_default();
        *newest = name.time().max(*newest);
        for other in &self.others {
            let messages = all.messages.entry(other.clone()).or_default();
            if messages.len() == MOST {
                messages.remove(0);
            }
            messages.push(Message {
                database: database.to_owned(),
                name: name.to_string(),
                from: self.own.clone(),
                object: object.clone(),
            });
        }
    }

    fn announce(&self, _database: &str, _time: u64) {}

    fn contacts(&self, _database: &str) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }

    fn news(&self) -> watch::Receiver<u64> {
        watch::Sender::new(0).subscribe()
    }
}

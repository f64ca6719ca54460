//! What is known of the agents that have been heard.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::lock;

/// Agents that are remembered.
const MOST: usize = 1024;
/// A silent one is forgotten after this.
const FORGET: Duration = Duration::from_secs(3600);

/// An agent that has been heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// In the form that names of objects have it.
    pub instance: String,
    pub heard: Instant,
    /// Another one than before means that it has started again.
    pub boot: String,
    /// By database, the time of the newest state that it has told or stored.
    pub progress: BTreeMap<String, u64>,
    /// Changes that it has told since it was first heard.
    pub received: u64,
    pub in_contact: bool,
}

struct Known {
    heard: Instant,
    boot: String,
    progress: BTreeMap<String, u64>,
    received: u64,
}

struct Shared {
    window: Duration,
    known: Mutex<BTreeMap<String, Known>>,
    news: watch::Sender<u64>,
}

/// What is known of other agents, shared by all who ask. Only what they say themselves counts as heard: an answer to what
/// was told to them does not, because it is no sign that they would tell their changes.
#[derive(Clone)]
pub struct Contacts(Arc<Shared>);

/// More agents than are remembered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl Contacts {
    /// `window` is how long after its last sign of life an agent is in contact.
    pub(super) fn new(window: Duration) -> Self {
        Self(Arc::new(Shared {
            window,
            known: Mutex::default(),
            news: watch::Sender::new(0),
        }))
    }

    /// The instance was heard within three hellos.
    pub fn in_contact(&self, instance: &str) -> bool {
        let known = lock(&self.0.known);
        known.get(instance).is_some_and(|known| self.is_fresh(known))
    }

    /// The time of the newest state of a database that an instance has told or stored.
    pub fn progress(&self, instance: &str, database: &str) -> Option<u64> {
        lock(&self.0.known).get(instance)?.progress.get(database).copied()
    }

    /// All that have been heard, by name.
    pub fn all(&self) -> Vec<Contact> {
        let known = lock(&self.0.known);
        let contact = |(instance, known): (&String, &Known)| Contact {
            instance: instance.clone(),
            heard: known.heard,
            boot: known.boot.clone(),
            progress: known.progress.clone(),
            received: known.received,
            in_contact: self.is_fresh(known),
        };
        known.iter().map(contact).collect()
    }

    /// Changes whenever an agent makes progress, starts again, or is in contact (again).
    pub fn news(&self) -> watch::Receiver<u64> {
        self.0.news.subscribe()
    }

    fn is_fresh(&self, known: &Known) -> bool {
        known.heard.elapsed() <= self.0.window
    }

    /// A hello, or with `progress: None` another sign of life.
    pub(super) fn heard(
        &self,
        instance: &str,
        boot: &str,
        progress: Option<BTreeMap<String, u64>>,
    ) -> Result<(), TooMany> {
        let mut all = lock(&self.0.known);
        if !all.contains_key(instance) {
            all.retain(|_, known| known.heard.elapsed() < FORGET);
            if all.len() >= MOST {
                let silent = all.iter().filter(|(_, known)| !self.is_fresh(known));
                let longest = silent.min_by_key(|(_, known)| known.heard);
                let longest = longest.map(|(instance, _)| instance.clone()).ok_or(TooMany)?;
                all.remove(&longest);
            }
            let known = Known {
                heard: Instant::now(),
                boot: String::new(),
                progress: BTreeMap::new(),
                received: 0,
            };
            all.insert(instance.to_owned(), known);
        }
        let Some(known) = all.get_mut(instance) else {
            return Ok(());
        };
        let mut news = !self.is_fresh(known);
        known.heard = Instant::now();
        if known.boot != boot {
            known.boot = boot.to_owned();
            known.progress.clear();
            news = true;
        }
        if let Some(progress) = progress
            && known.progress != progress
        {
            known.progress = progress;
            news = true;
        }
        drop(all);
        if news {
            self.0.news.send_modify(|version| *version += 1);
        }
        Ok(())
    }

    /// Changes of an instance have arrived.
    pub(super) fn received(&self, instance: &str) {
        if let Some(known) = lock(&self.0.known).get_mut(instance) {
            known.received += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(6);

    fn progress(time: u64) -> BTreeMap<String, u64> {
        [("main".to_owned(), time)].into()
    }

    #[tokio::test(start_paused = true)]
    async fn contact_is_lost_after_three_hellos_and_found_again_with_the_next() {
        let contacts = Contacts::new(WINDOW);
        assert!(!contacts.in_contact("a"));
        contacts.heard("a", "1", Some(progress(7))).unwrap();
        tokio::time::advance(WINDOW).await;
        assert!(contacts.in_contact("a"));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!contacts.in_contact("a"));
        let mut news = contacts.news();
        contacts.heard("a", "1", Some(progress(7))).unwrap();
        assert!(contacts.in_contact("a") && news.has_changed().unwrap());
        news.mark_unchanged();
        contacts.heard("a", "1", Some(progress(7))).unwrap();
        assert!(!news.has_changed().unwrap(), "nothing is new");
    }

    #[tokio::test(start_paused = true)]
    async fn progress_and_a_new_start_are_news_and_a_new_start_forgets_the_progress() {
        let contacts = Contacts::new(WINDOW);
        contacts.heard("a", "1", Some(progress(7))).unwrap();
        let mut news = contacts.news();
        contacts.heard("a", "1", Some(progress(8))).unwrap();
        assert!(news.has_changed().unwrap());
        assert_eq!(contacts.progress("a", "main"), Some(8));
        assert_eq!(contacts.progress("a", "shard"), None);
        news.mark_unchanged();
        contacts.heard("a", "2", None).unwrap();
        assert!(news.has_changed().unwrap());
        assert_eq!(contacts.progress("a", "main"), None);
        assert_eq!(contacts.all()[0].boot, "2");
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_is_bounded_and_those_in_contact_are_not_driven_out() {
        let contacts = Contacts::new(WINDOW);
        for number in 0..MOST {
            contacts.heard(&format!("i{number}"), "1", None).unwrap();
        }
        assert_eq!(contacts.heard("more", "1", None), Err(TooMany));
        tokio::time::advance(WINDOW).await;
        contacts.heard("i0", "1", None).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        contacts.heard("more", "1", None).unwrap();
        assert_eq!(contacts.all().len(), MOST);
        assert!(contacts.in_contact("i0") && contacts.in_contact("more"));
        tokio::time::advance(FORGET).await;
        contacts.heard("last", "1", None).unwrap();
        assert_eq!(contacts.all().len(), 1);
    }
}

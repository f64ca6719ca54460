//! When to send what. Pure: the time is passed in.
//!
//! A question that PowerDNS was answering when we committed may have read the old data, and its answer can enter the
//! caches after they were flushed: a zone is flushed a second time a little later. Until then it counts as restless, and
//! a change of a single name flushes this name only; the second flush takes the answers that may depend on it. So a zone
//! that changes a hundred times a second is emptied a few times a second, and one that changes now and then at once. What was
//! written here is flushed only after such questions, once: PowerDNS' API has flushed it itself, and would again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::control::Command;
use crate::content::{MOST_ZONES, Plan, Purge};

/// From a flush to the second one.
const AGAIN: Duration = Duration::from_millis(250);
/// A question that began before a commit is answered after this time; later flushes need not be repeated for it.
const ANSWERED: Duration = Duration::from_millis(100);
/// A zone is made in several transactions of two databases: what comes so soon after the first is flushed with it.
const GATHER: Duration = Duration::from_millis(5);
/// Reading the list of zones takes PowerDNS as long as it is long: it may be busy with that for a fifth of the time.
const REST: u32 = 4;
/// Names in one command.
const MOST_IN_A_COMMAND: usize = 500;

/// What to send, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Orders {
    /// Names: forgetting one takes PowerDNS 2 µs.
    pub names: BTreeSet<String>,
    /// Zones, with a final `$`: 0.3 ms, and 1.5 µs for each answer that is forgotten.
    pub zones: BTreeSet<String>,
    pub rediscover: bool,
    /// What had to wait for the list of zones.
    pub then: BTreeSet<String>,
    pub everything: bool,
}

impl Orders {
    pub(super) fn commands(self) -> Vec<Command> {
        let mut commands = Vec::new();
        let purge = |names: Vec<String>, commands: &mut Vec<Command>| {
            commands.extend(
                names
                    .chunks(MOST_IN_A_COMMAND)
                    .map(|names| Command::Purge(names.to_vec())),
            );
        };
        purge(self.names.into_iter().chain(self.zones).collect(), &mut commands);
        if self.rediscover {
            commands.push(Command::Rediscover);
        }
        if self.everything {
            commands.push(Command::PurgeAll);
        } else {
            purge(self.then.into_iter().collect(), &mut commands);
        }
        commands
    }
}

#[derive(Debug)]
struct Again {
    due: Instant,
    /// The last change that it is for.
    last: Instant,
    /// It is not the first flush.
    flushed: bool,
}

impl Again {
    fn touch(again: &mut Option<Self>, now: Instant) {
        again
            .get_or_insert(Self {
                due: now + AGAIN,
                last: now,
                flushed: true,
            })
            .touched(now);
    }

    /// The same without a flush at once.
    fn touch_soon(again: &mut Option<Self>, now: Instant) {
        again
            .get_or_insert(Self {
                due: now + ANSWERED,
                last: now,
                flushed: false,
            })
            .last = now;
    }

    /// There was a flush, with a change before it.
    fn touched(&mut self, now: Instant) {
        self.last = now;
        self.flushed = true;
    }

    /// True when it is due; it stays for changes that it comes too early for.
    fn take(again: &mut Option<Self>, now: Instant) -> bool {
        let Some(pending) = again.as_mut().filter(|pending| pending.due <= now) else {
            return false;
        };
        if pending.last + ANSWERED > now {
            pending.due = now + AGAIN;
            pending.flushed = true;
        } else {
            *again = None;
        }
        true
    }
}

/// What waits for the list of zones to be read.
#[derive(Debug, Default)]
struct Held {
    zones: BTreeSet<String>,
    everything: bool,
}

/// What was flushed lately, and what will be.
#[derive(Debug)]
pub(super) struct Settle {
    zones: BTreeMap<String, Option<Again>>,
    list: Option<Again>,
    everything: Option<Again>,
    held: Option<Held>,
    /// The list of zones is not read before.
    rest_until: Instant,
}

impl Settle {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            zones: BTreeMap::new(),
            list: None,
            everything: None,
            held: None,
            rest_until: now,
        }
    }

    /// All caches were just emptied at once: whatever was to come is done, but for the second time.
    pub(super) fn emptied(&mut self, now: Instant) {
        *self = Self::new(now);
        Again::touch(&mut self.everything, now);
    }

    /// What to send for a plan, and for what is due besides.
    pub(super) fn orders(&mut self, plan: Plan, now: Instant) -> Orders {
        let mut orders = Orders::default();
        self.due(now, &mut orders);
        if plan.rediscover || plan.everything {
            if self.held.is_none() && !plan.everything {
                self.rest_until = self.rest_until.max(now + GATHER);
            }
            self.held.get_or_insert_default().everything |= plan.everything;
            Again::touch(&mut self.list, now);
        }
        for purge in plan.purges {
            match purge {
                // It is flushed once PowerDNS has read the list that has it.
                Purge::Names { zone, .. } | Purge::Zone(zone) if self.holds(&zone) => self.touch(zone, now),
                Purge::Names { zone, names } => {
                    orders.names.extend(names);
                    let again = self.zones.get(&zone).and_then(Option::as_ref);
                    if !again.is_some_and(|again| again.flushed) {
                        orders.zones.insert(suffix(&zone));
                    }
                    self.touch(zone, now);
                }
                Purge::Zone(zone) => {
                    match &mut self.held {
                        Some(held) if plan.rediscover => {
                            held.zones.insert(zone.clone());
                        }
                        _ => {
                            orders.zones.insert(suffix(&zone));
                        }
                    }
                    self.touch(zone, now);
                }
                Purge::ZoneSoon(zone) => {
                    Again::touch_soon(self.zones.entry(zone).or_default(), now);
                }
            }
        }
        if now >= self.rest_until
            && let Some(held) = self.held.take()
        {
            orders.rediscover = true;
            for zone in held.zones {
                orders.then.insert(suffix(&zone));
                self.touch(zone, now);
            }
            if held.everything {
                orders.everything = true;
                Again::touch(&mut self.everything, now);
            }
        }
        if self.zones.len() > MOST_ZONES {
            self.zones.clear();
            Again::touch(&mut self.everything, now);
        }
        orders
    }

    fn due(&mut self, now: Instant, orders: &mut Orders) {
        self.zones.retain(|zone, again| {
            if Again::take(again, now) {
                orders.zones.insert(suffix(zone));
            }
            again.is_some()
        });
        if Again::take(&mut self.list, now) {
            self.held.get_or_insert_default();
        }
        orders.everything |= Again::take(&mut self.everything, now);
    }

    fn holds(&self, zone: &str) -> bool {
        self.held.as_ref().is_some_and(|held| held.zones.contains(zone))
    }

    fn touch(&mut self, zone: String, now: Instant) {
        Again::touch(self.zones.entry(zone).or_default(), now);
    }

    /// PowerDNS has read the list of zones.
    pub(super) fn rediscovered(&mut self, now: Instant, took: Duration) {
        self.rest_until = now + took * REST;
    }

    /// When there is something to do again.
    pub(super) fn next(&self) -> Option<Instant> {
        let again = self
            .zones
            .values()
            .chain([&self.list, &self.everything])
            .flatten();
        let held = self.held.as_ref().map(|_| self.rest_until);
        again.map(|again| again.due).chain(held).min()
    }
}

fn suffix(zone: &str) -> String {
    format!("{zone}$")
}

#[cfg(test)]
mod tests;

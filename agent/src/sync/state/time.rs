//! What time it is for a replica, and up to which time what is here is believed.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::sleep;

use super::replica::Replica;
use crate::sync::database::ahead::{Ahead, Believed};
use crate::sync::known::fleet_time::FleetTime;

/// Between two looks at whether somebody has.
const LOOK: Duration = Duration::from_millis(50);

impl Replica {
    /// What the own clock says, right or wrong, ns since the epoch.
    pub(in crate::sync) fn own_clock(&self) -> u64 {
        (self.clock)()
    }

    /// How far that is from the time that the fleet goes by; unknown where the own clock counts.
    pub(in crate::sync) fn fleet_time(&self) -> FleetTime {
        match self.max_ahead {
            Some(_) => self.told_time(),
            None => FleetTime::UNKNOWN,
        }
    }

    /// How far it is from the time that the store and the other servers tell.
    pub fn told_time(&self) -> FleetTime {
        let peers = self.peers.as_ref().map(|peers| peers.skews());
        FleetTime::of(self.store.skew().as_ref(), &peers.unwrap_or_default())
    }

    /// The time, ns since the epoch: the own clock's unless that is certainly wrong.
    pub(in crate::sync) fn now_ns(&self) -> u64 {
        self.fleet_time().now(self.own_clock())
    }

    /// Corrects what is written here by a clock that is certainly wrong, and keeps out of the zones what is farther ahead of the fleet's
    /// time than this.
    pub fn go_by_the_fleets_time(&mut self, max_ahead: Duration) {
        self.max_ahead = Some(u64::try_from(max_ahead.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The latest time of an entry that is merged, ns since the epoch; `None`: nobody has told the fleet's time.
    pub(in crate::sync) fn limit(&self) -> Option<u64> {
        self.with_most_ahead(FleetTime::believable)
    }

    /// The same by another rule for what is the latest time that is believed.
    pub(in crate::sync) fn with_most_ahead(
        &self,
        latest: impl Fn(&FleetTime, u64) -> Option<u64>,
    ) -> Option<u64> {
        match (latest(&self.fleet_time(), self.own_clock()), self.max_ahead) {
            // What was kept before is merged.
            (_, None | Some(u64::MAX)) => Some(u64::MAX),
            (latest, Some(max_ahead)) => Some(latest?.saturating_add(max_ahead)),
        }
    }

    /// Up to which time entries that are here are believed. Of what nobody else has, nobody else can say that it is right.
    pub(in crate::sync) fn believed(&self) -> Believed {
        let (own, most) = (self.own_clock(), self.max_ahead.unwrap_or(u64::MAX));
        let fleet = self.fleet_time();
        let (Some(latest), Some(believable), false) =
            (fleet.latest(own), fleet.believable(own), most == u64::MAX)
        else {
            return Believed::all();
        };
        let state = self.state();
        let told = match state.log.given_txn().max(state.log.synced_txn()) {
            _ if latest >= believable => u64::MAX,
            // Nothing that is here was ever stored, or it is not known what.
            0 if state.own_merged && state.known.have(&self.own) == 0 => 0,
            0 => u64::MAX,
            told => told,
        };
        let merged = match told {
            u64::MAX => BTreeSet::new(),
            told => state.log.foreign_after(told),
        };
        Believed {
            latest: believable.saturating_add(most),
            latest_untold: latest.saturating_add(most),
            told,
            merged,
            stored_before: state.log.stored_before(),
        }
    }

    /// What tells which of two writes here is the later one. Good for whoever has the turn.
    pub(in crate::sync) fn ahead(&self) -> Ahead {
        let (fleet, believed) = (self.fleet_time(), self.believed());
        let log = &self.state().log;
        let newest = log.newest_kept();
        let since = newest.as_ref().map_or(u64::MAX, |reader| reader.txn_id());
        Ahead::new(self.clock.clone())
            .since(newest, log.foreign_after(since))
            .forgotten(log.forgotten())
            .by(fleet, believed, log.settled().clone())
    }

    /// Nobody has told the fleet's time since the start, or since the own clock was set, and somebody may within moments.
    pub(in crate::sync) fn awaits_the_time(&self) -> bool {
        if self.peers.is_none() && self.store.skew().is_none() {
            // Nobody can.
            return false;
        }
        let is_told = self.limit().is_some();
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        waits.go_on(is_told, || self.fleet_time().was_set())
    }

    /// Waits for that.
    pub(in crate::sync) async fn learn_the_time(&self) {
        while self.awaits_the_time() {
            sleep(LOOK).await;
        }
    }
}

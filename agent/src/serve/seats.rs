//! Who keeps his place when all places of a listener are taken. Pure: no sockets and no clock.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// A connection, by the order of coming.
pub(super) type SeatId = u64;

struct Seat<T> {
    source: IpAddr,
    /// A request is being handled.
    busy: bool,
    /// When it last came to rest, as a number that grows.
    rests_since: u64,
    /// What ends it.
    end: T,
}

/// The connections of a listener, by where they come from.
///
/// One that comes when all places are taken is let in, and one of the source with most connections goes: so whoever opens
/// many takes places from himself, and nobody else's probe or scrape waits.
pub(super) struct Seats<T> {
    most: usize,
    next: u64,
    taken: BTreeMap<SeatId, Seat<T>>,
    by_source: HashMap<IpAddr, usize>,
}

impl<T> Seats<T> {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            next: 0,
            taken: BTreeMap::new(),
            by_source: HashMap::new(),
        }
    }

    /// Lets one in. Returns its ID, and what ends the one that must go for it, if one must.
    pub(super) fn enter(&mut self, source: IpAddr, end: T) -> (SeatId, Option<(IpAddr, T)>) {
        // An IPv4 client of a listener on [::].
        let source = source.to_canonical();
        let id = self.turn();
        let seat = Seat {
            source,
            busy: false,
            rests_since: id,
            end,
        };
        self.taken.insert(id, seat);
        *self.by_source.entry(source).or_default() += 1;
        let full = self.taken.len() > self.most;
        (id, if full { self.displace(Some(id)) } else { None })
    }

    /// Ends one, where it is not places that are short.
    pub(super) fn make_room(&mut self) -> Option<(IpAddr, T)> {
        self.displace(None)
    }

    /// A request of this connection is being handled from now on, or is not any more.
    pub(super) fn set_busy(&mut self, id: SeatId, busy: bool) {
        let turn = self.turn();
        if let Some(seat) = self.taken.get_mut(&id) {
            seat.busy = busy;
            seat.rests_since = turn;
        }
    }

    /// It has ended. No harm if it was displaced.
    pub(super) fn leave(&mut self, id: SeatId) {
        self.take(id);
    }

    #[cfg(test)]
    fn count(&self, source: IpAddr) -> usize {
        self.by_source.get(&source).copied().unwrap_or_default()
    }

    fn turn(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn take(&mut self, id: SeatId) -> Option<Seat<T>> {
        let seat = self.taken.remove(&id)?;
        if let Some(count) = self.by_source.get_mut(&seat.source) {
            *count -= 1;
            if *count == 0 {
                self.by_source.remove(&seat.source);
            }
        }
        Some(seat)
    }

    /// Takes the place of the connection that has rested longest, of a source that has most. One that is being served goes
    /// only if none of that source rests; the newcomer's own source goes first among equals, the newcomer itself never.
    fn displace(&mut self, newcomer: Option<SeatId>) -> Option<(IpAddr, T)> {
        let largest = self.by_source.values().copied().max()?;
        let own = newcomer.and_then(|id| Some(self.taken.get(&id)?.source));
        let candidates = self.taken.iter().filter(|(id, seat)| {
            Some(**id) != newcomer && self.by_source.get(&seat.source) == Some(&largest)
        });
        let (id, _) =
            candidates.min_by_key(|(_, seat)| (Some(seat.source) != own, seat.busy, seat.rests_since))?;
        let id = *id;
        self.take(id).map(|seat| (seat.source, seat.end))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn source(number: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, number).into()
    }

    /// Lets connections named by letters in, and says who goes.
    fn enter(
        seats: &mut Seats<&'static str>,
        number: u8,
        name: &'static str,
    ) -> (SeatId, Option<&'static str>) {
        let (id, gone) = seats.enter(source(number), name);
        (id, gone.map(|(_, name)| name))
    }

    #[test]
    fn whoever_has_most_loses_the_one_that_rests_longest() {
        let mut seats = Seats::new(4);
        let (probe, _) = enter(&mut seats, 1, "probe");
        let (first, _) = enter(&mut seats, 2, "first");
        enter(&mut seats, 2, "second");
        enter(&mut seats, 2, "third");
        // It was asked for something since.
        seats.set_busy(first, true);
        seats.set_busy(first, false);
        assert_eq!(enter(&mut seats, 2, "fourth").1, Some("second"));
        assert_eq!(enter(&mut seats, 3, "scrape").1, Some("third"));
        seats.leave(probe);
        assert_eq!(enter(&mut seats, 3, "another scrape").1, None);
    }

    #[test]
    fn one_that_is_served_goes_only_if_none_of_its_source_rests() {
        let mut seats = Seats::new(2);
        let (first, _) = enter(&mut seats, 1, "first");
        let (second, _) = enter(&mut seats, 1, "second");
        seats.set_busy(first, true);
        let (third, gone) = enter(&mut seats, 2, "third");
        assert_eq!(gone, Some("second"));
        seats.leave(second);
        seats.set_busy(third, true);
        assert_eq!(
            enter(&mut seats, 1, "fourth").1,
            Some("first"),
            "its own, though it is served"
        );
    }

    #[test]
    fn among_sources_of_one_connection_each_the_one_that_rests_longest_goes() {
        let mut seats = Seats::new(2);
        enter(&mut seats, 1, "first");
        enter(&mut seats, 2, "second");
        assert_eq!(enter(&mut seats, 3, "third").1, Some("first"));
        assert_eq!(seats.make_room().map(|(_, name)| name), Some("second"));
    }

    #[test]
    fn an_ipv4_client_is_the_same_on_both_kinds_of_listeners() {
        let mut seats = Seats::new(9);
        let mapped = Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped();
        seats.enter(mapped.into(), ());
        seats.enter(source(1), ());
        assert_eq!(seats.count(source(1)), 2);
    }

    proptest! {
        /// Whatever the others do, a source keeps its share of the places: it loses one only to itself, or when it has more.
        #[test]
        fn nobody_loses_what_is_not_more_than_his_share(steps in prop::collection::vec((0..5_u8, 0..4_u8, any::<usize>()), 1..400)) {
            let (most, sources) = (20, 5);
            let share = most / usize::from(sources);
            let mut seats = Seats::new(most);
            let mut there = Vec::new();
            for (from, what, which) in steps {
                match what {
                    0 if !there.is_empty() => seats.leave(there.swap_remove(which % there.len())),
                    1 if !there.is_empty() => seats.set_busy(there[which % there.len()], which % 2 == 0),
                    _ => {
                        let before: Vec<_> = (0..sources).map(|number| seats.count(source(number))).collect();
                        let (id, gone) = seats.enter(source(from), ());
                        there.push(id);
                        if let Some((gone, ())) = gone {
                            let number = (0..sources).find(|number| source(*number) == gone).unwrap();
                            prop_assert!(number == from || before[usize::from(number)] > share);
                        }
                    }
                }
                prop_assert!((0..sources).map(|number| seats.count(source(number))).sum::<usize>() <= most);
            }
        }
    }
}

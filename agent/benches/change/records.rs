//! Zones as PowerDNS makes them, and records written beside it as `pdnsutil` does.

use std::net::Ipv4Addr;
use std::time::{SystemTime, UNIX_EPOCH};

use zonetide_agent::lmdb::{Environment, LmdbError, OpenOptions};
use zonetide_testbed::dns::Type;

use crate::node::{MAP_SIZE_MB, Node};
use crate::progress;

/// Records of a zone.
const ZONE_LEN: u32 = 1000;
const RECORDS: &str = "records_v5";
const ZONES: &str = "domains_v5_0";
const TEMPLATE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

pub(crate) fn zone_name(zone: u32) -> String {
    format!("zone{zone:04}.example.")
}

fn label(host: u32) -> String {
    format!("host{host:04}")
}

/// An address for the `change`th change.
pub(crate) fn address(change: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 0)) + change)
}

/// One of the records, and what PowerDNS' database calls it.
#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) zone: String,
    pub(crate) name: String,
    key: Vec<u8>,
}

/// The records of a database.
pub(crate) struct Records {
    /// IDs of the zones, by their number.
    ids: Vec<[u8; 4]>,
    /// The value of an A record as PowerDNS writes it, and where the address stands in it.
    template: Vec<u8>,
    position: usize,
}

impl Records {
    /// Makes zones by PowerDNS' API and fills them up beside it, in the form in which PowerDNS has written one record.
    pub(crate) async fn fill(node: &Node, records: u32) -> Self {
        let zones = records.div_ceil(ZONE_LEN);
        let api = node.dns.api();
        for zone in 0..zones {
            api.create_zone(&zone_name(zone)).await.unwrap();
            if zone % 100 == 99 {
                progress!("{} of {zones} zones made", zone + 1);
            }
        }
        let template = format!("template.{}", zone_name(0));
        api.replace(&zone_name(0), &template, "A", &[&TEMPLATE.to_string()])
            .await
            .unwrap();
        let this = Self::read(node);
        assert_eq!(this.ids.len(), zones as usize);
        this.write_all(&node.open_records());
        this
    }

    fn read(node: &Node) -> Self {
        let options = OpenOptions {
            map_size: (MAP_SIZE_MB as usize) << 20,
            max_dbs: 64,
            create: false,
            no_subdir: true,
        };
        let mut ids = Vec::new();
        let main = Environment::open(&node.database(), &options).unwrap();
        each(&main, ZONES, |key, _| {
            // Length, name, ID; the names sort as the zones are numbered.
            let (name, id) = key[2..].split_at(key.len() - 6);
            if name.windows(4).any(|part| part == b"zone") {
                ids.push(id.try_into().unwrap());
            }
        });
        let mut found = None;
        each(&node.open_records(), RECORDS, |key, value| {
            if key.windows(8).any(|part| part == b"template") {
                let position = value.windows(4).position(|part| part == TEMPLATE.octets());
                found = Some((value.to_vec(), position.unwrap()));
            }
        });
        let (template, position) = found.unwrap();
        Self {
            ids,
            template,
            position,
        }
    }

    fn write_all(&self, env: &Environment) {
        let mut sorted: Vec<_> = (0..self.ids.len()).collect();
        sorted.sort_by_key(|zone| self.ids[*zone]);
        for zones in sorted.chunks(50) {
            env.write::<(), LmdbError>(|writer| {
                let dbi = writer.dbi(RECORDS)?;
                for zone in zones {
                    for host in 0..ZONE_LEN {
                        let record = self.get(u32::try_from(*zone).unwrap(), host);
                        let value = self.value(address(host));
                        writer.put(&dbi, &record.key, now(), false, &value)?;
                    }
                }
                Ok(())
            })
            .unwrap();
        }
    }

    fn get(&self, zone: u32, host: u32) -> Record {
        let (zone_name, label) = (zone_name(zone), label(host));
        let mut key = self.ids[zone as usize].to_vec();
        key.extend_from_slice(label.as_bytes());
        key.extend_from_slice(&[0, 0, 0, 1]);
        Record {
            name: format!("{label}.{zone_name}"),
            zone: zone_name,
            key,
        }
    }

    /// Records from all over the database, another one for each number below 1,000.
    pub(crate) fn pick(&self, number: u32) -> Record {
        let zones = u32::try_from(self.ids.len()).unwrap();
        self.get(
            number.wrapping_mul(7919) % zones,
            number.wrapping_mul(617) % ZONE_LEN,
        )
    }

    /// The last record of the last zone, and what it says at first.
    pub(crate) fn last(&self) -> (Record, Ipv4Addr) {
        let zones = u32::try_from(self.ids.len()).unwrap();
        (self.get(zones - 1, ZONE_LEN - 1), address(ZONE_LEN - 1))
    }

    fn value(&self, address: Ipv4Addr) -> Vec<u8> {
        let mut value = self.template.clone();
        value[self.position..self.position + 4].copy_from_slice(&address.octets());
        value
    }

    /// Changes a record in a transaction of its own, without PowerDNS.
    pub(crate) fn change(&self, env: &Environment, record: &Record, address: Ipv4Addr) {
        env.write::<(), LmdbError>(|writer| {
            let dbi = writer.dbi(RECORDS)?;
            writer.put(&dbi, &record.key, now(), false, &self.value(address))
        })
        .unwrap();
    }
}

/// How many records of one type a database has.
pub(crate) fn count(env: &Environment, kind: Type) -> usize {
    let kind = u16::from(kind).to_be_bytes();
    let mut count = 0;
    each(env, RECORDS, |key, _| count += usize::from(key.ends_with(&kind)));
    count
}

fn each(env: &Environment, dbi: &str, mut visit: impl FnMut(&[u8], &[u8])) {
    env.read::<(), LmdbError>(|reader| {
        let Some(dbi) = reader.dbi(dbi)? else {
            return Ok(());
        };
        reader.for_each(&dbi, |key, header, value| {
            if !header.deleted {
                visit(key, value);
            }
            Ok(())
        })
    })
    .unwrap();
}

fn now() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(elapsed.as_nanos()).unwrap()
}

//! The values of RRsets in PowerDNS' LMDB: each record's content behind its length (2 bytes, little endian), as DNS has it, with names that
//! may be compressed against the record's own, then its TTL (4 bytes, little endian), whether it is authoritative, disabled, and in the order of names.

/// What follows a record's content, bytes.
pub(super) const REST: usize = 7;
/// The numbers at the end of a SOA record; the serial is the first of five (RFC 1035, section 3.3.13).
const NUMBERS: usize = 20;

/// A record of an RRset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'v> {
    /// The RDATA as on the wire. Names may point to the record's own name, which is at offset 17 to them.
    pub content: &'v [u8],
    /// Seconds.
    pub ttl: u32,
    pub(super) flags: [u8; 3],
}

impl Record<'_> {
    /// It is stored and not served.
    pub fn is_disabled(&self) -> bool {
        self.flags[1] != 0
    }
}

/// The records of an RRset; `None` for something else.
pub fn records(mut value: &[u8]) -> Option<Vec<Record<'_>>> {
    let mut records = Vec::new();
    while !value.is_empty() {
        let (len, rest) = value.split_first_chunk::<2>()?;
        let (content, rest) = rest.split_at_checked(u16::from_le_bytes(*len).into())?;
        let ([t0, t1, t2, t3, flags @ ..], rest) = rest.split_first_chunk::<REST>()?;
        records.push(Record {
            content,
            ttl: u32::from_le_bytes([*t0, *t1, *t2, *t3]),
            flags: *flags,
        });
        value = rest;
    }
    Some(records)
}

/// The serial of a SOA record's RRset.
pub fn serial(soa: &[u8]) -> Option<u32> {
    let records = records(soa)?;
    let [record] = records.as_slice() else { return None };
    let numbers = record.content.last_chunk::<NUMBERS>()?;
    let serial = numbers.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*serial))
}

/// The same RRset with another serial.
pub fn with_serial(soa: &[u8], serial: u32) -> Option<Vec<u8>> {
    self::serial(soa)?;
    let mut soa = soa.to_vec();
    let at = soa.len() - REST - NUMBERS;
    soa[at..at + 4].copy_from_slice(&serial.to_be_bytes());
    Some(soa)
}

#[cfg(test)]
mod tests {
    use super::super::values::tests::record;
    use super::*;

    #[test]
    fn the_serial_of_a_soa_record_is_read_and_replaced() {
        let soa = |serial: u32| {
            let numbers = [serial, 10_800, 3_600, 604_800, 60]
                .map(u32::to_be_bytes)
                .concat();
            record(&[&b"\x01a\x00\x01b\x00"[..], &numbers].concat(), 3_600, [1, 0, 1])
        };
        assert_eq!(serial(&soa(7)), Some(7));
        assert_eq!(with_serial(&soa(7), 9), Some(soa(9)));
        assert_eq!(records(&soa(7)).unwrap()[0].ttl, 3_600);
        assert_eq!(serial(b""), None);
        assert_eq!(with_serial(&soa(7)[..9], 9), None);
        assert_eq!(serial(&record(b"short", 60, [1, 0, 1])), None);
    }
}

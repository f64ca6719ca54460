//! The header that PowerDNS and Lightning Stream put before every value: 24 bytes, big endian, then extension
//! blocks of 8 bytes each, which we skip on read and never write.

/// Length of the header without extension blocks, bytes.
pub const HEADER_LEN: usize = 24;
/// Flag of a deletion mark.
pub const DELETED: u8 = 0x01;

/// Why a value has no valid header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("{0} bytes are too short for a value header of {HEADER_LEN}")]
    Short(usize),
    #[error("value header version {0} is unknown, only 0 is")]
    Version(u8),
    #[error("the value header announces {blocks} extension blocks, more than its {len} bytes hold")]
    Extension { blocks: u16, len: usize },
}

/// The fields of a value header that mean something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// When the entry was written, ns since the epoch.
    pub timestamp: u64,
    /// The transaction of this database that wrote it last.
    pub txn_id: u64,
    /// The entry is a deletion mark.
    pub deleted: bool,
}

impl Header {
    /// Splits a stored value into its header and the application's value.
    ///
    /// # Errors
    /// See [`HeaderError`]: the database was not written by PowerDNS 4.8 or later, or it is damaged.
    pub fn split(stored: &[u8]) -> Result<(Self, &[u8]), HeaderError> {
        let (header, blocks) = Self::parse(stored)?;
        let value = stored.get(HEADER_LEN + usize::from(blocks) * 8..);
        let len = stored.len();
        let value = value.ok_or(HeaderError::Extension { blocks, len })?;
        Ok((header, value))
    }

    /// The header alone; of what follows it some may be missing.
    ///
    /// # Errors
    /// As [`Header::split`].
    pub fn start(stored: &[u8]) -> Result<Self, HeaderError> {
        Ok(Self::parse(stored)?.0)
    }

    /// The header, and how many extension blocks follow it.
    fn parse(stored: &[u8]) -> Result<(Self, u16), HeaderError> {
        let fixed = stored
            .first_chunk::<HEADER_LEN>()
            .ok_or(HeaderError::Short(stored.len()))?;
        let (timestamp, fixed) = take_u64(fixed);
        let (txn_id, fixed) = take_u64(fixed);
        let [version, flags, _, _, _, _, high, low] = *fixed else {
            return Err(HeaderError::Short(stored.len()));
        };
        if version != 0 {
            return Err(HeaderError::Version(version));
        }
        let header = Self {
            timestamp,
            txn_id,
            deleted: flags & DELETED != 0,
        };
        Ok((header, u16::from_be_bytes([high, low])))
    }

    /// The 24 bytes to write before a value.
    pub fn to_bytes(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(&self.timestamp.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.txn_id.to_be_bytes());
        bytes[17] = if self.deleted { DELETED } else { 0 };
        bytes
    }
}

fn take_u64(bytes: &[u8]) -> (u64, &[u8]) {
    match bytes.split_first_chunk() {
        Some((first, rest)) => (u64::from_be_bytes(*first), rest),
        None => (0, bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_as_it_was_written() {
        let header = Header {
            timestamp: 1_795_510_850_137_194_777,
            txn_id: 42,
            deleted: true,
        };
        let stored = [&header.to_bytes()[..], b"value"].concat();
        assert_eq!(Header::split(&stored).unwrap(), (header, &b"value"[..]));
    }

    #[test]
    fn extension_blocks_and_unknown_flags_are_passed_over() {
        let mut stored = Header {
            timestamp: 1,
            txn_id: 2,
            deleted: false,
        }
        .to_bytes()
        .to_vec();
        stored[17] = 0xfe;
        stored[23] = 2;
        stored.extend([0xaa; 16]);
        stored.extend(b"value");
        let (header, value) = Header::split(&stored).unwrap();
        assert!(!header.deleted);
        assert_eq!(value, b"value");
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let good = Header {
            timestamp: 1,
            txn_id: 2,
            deleted: false,
        }
        .to_bytes();
        assert_eq!(Header::split(&good[..23]), Err(HeaderError::Short(23)));
        let mut newer = good;
        newer[16] = 1;
        assert_eq!(Header::split(&newer), Err(HeaderError::Version(1)));
        let mut long = good;
        long[22] = 0xff;
        assert!(matches!(
            Header::split(&long),
            Err(HeaderError::Extension {
                blocks: 0xff00,
                len: 24
            })
        ));
    }
}

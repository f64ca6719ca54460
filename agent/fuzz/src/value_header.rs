use zonetide_agent::lmdb::header::{DELETED, HEADER_LEN, Header};

/// A stored value.
pub fn value_header(data: &[u8]) {
    let (header, value) = match Header::split(data) {
        Ok(split) => split,
        Err(error) => return drop(error.to_string()),
    };
    assert!(data.ends_with(value));
    let bytes = header.to_bytes();
    let stored = [&bytes[..], value].concat();
    assert_eq!(Header::split(&stored), Ok((header, value)));
    // What has nothing that is passed over comes back to the byte: version and flags, reserved bytes, no blocks.
    let plain = data[17] & !DELETED == 0 && data[18..HEADER_LEN].iter().all(|byte| *byte == 0);
    assert_eq!(plain, stored == data);
}

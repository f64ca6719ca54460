use zonetide_agent::content::rrset::{records, serial, with_serial};
use zonetide_agent::show::{object, record_lines};

/// An RRset as a database has it: the length of its key, the key and the value.
pub fn rrset(data: &[u8]) {
    let Some((&len, rest)) = data.split_first() else {
        return;
    };
    let (key, value) = rest.split_at(usize::from(len).min(rest.len()));
    if let Some(lines) = record_lines("zone.example.", key, value) {
        assert_eq!(lines.len(), records(value).unwrap().len());
        for line in &lines {
            assert!(line.contains(" IN ") && !line.contains(['\n', '\r']), "{line:?}");
        }
    }
    for dbi in ["domains_v5", "keydata_v5", "metadata_v5", "tsig_v5", "other"] {
        assert!(!object(dbi, key, value).contains('\n'));
    }
    if let Some(before) = serial(value) {
        let after = with_serial(value, before.wrapping_add(1)).unwrap();
        assert_eq!(serial(&after), Some(before.wrapping_add(1)));
        assert_eq!(with_serial(&after, before).as_deref(), Some(value));
    } else {
        assert_eq!(with_serial(value, 1), None);
    }
}

use zonetide_agent::snapshot::{SnapshotName, is_database_name, sanitize_instance};

/// The name of an object; with line feeds in it, a database, an instance and a time to make one of.
pub fn object_name(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match SnapshotName::parse(text) {
        Ok(name) => parsed(text, &name),
        Err(error) => drop(error.to_string()),
    }
    let mut lines = text.split('\n');
    if let (Some(database), Some(instance), Some(time)) = (lines.next(), lines.next(), lines.next())
        && let Ok(time) = time.parse()
    {
        made(database, instance, time);
    }
}

fn parsed(text: &str, name: &SnapshotName) {
    assert_eq!(name.as_str(), text);
    assert_eq!(SnapshotName::parse(&name.to_string()).as_ref(), Ok(name));
    let again = SnapshotName::new(name.database(), name.instance(), name.timestamp()).unwrap();
    assert_eq!(again.timestamp(), name.timestamp());
    let extras = text.split("__").count() > 4;
    if !extras && sanitize_instance(name.instance()) == name.instance() {
        assert_eq!(&again, name);
    }
}

fn made(database: &str, instance: &str, time: u64) {
    if !is_database_name(database) || instance.is_empty() {
        return;
    }
    match SnapshotName::new(database, instance, time) {
        Ok(name) => {
            assert_eq!(SnapshotName::parse(name.as_str()).as_ref(), Ok(&name));
            assert_eq!((name.database(), name.timestamp()), (database, time));
        }
        Err(error) => drop(error.to_string()),
    }
}

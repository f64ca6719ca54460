use zonetide_agent::snapshot::{
    BaseName, DeltaName, SegmentName, SnapshotName, is_database_name, sanitize_instance,
};

/// The name of an object; with line feeds in it, a database, an instance and a time to make one of.
pub fn object_name(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match SnapshotName::parse(text) {
        Ok(name) => parsed(text, &name),
        Err(error) => drop(error.to_string()),
    }
    below_folders(text);
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

/// The names of deltas and of history, each in its own folder.
fn below_folders(file: &str) {
    let name = format!("{}{file}", DeltaName::folder("main"));
    if let Ok(delta) = DeltaName::parse("main", &name) {
        let again = DeltaName::new("main", delta.instance(), delta.since(), delta.time()).unwrap();
        assert_eq!(again, delta);
    }
    let name = format!("{}{file}", SegmentName::folder("main"));
    if let Ok(segment) = SegmentName::parse("main", &name) {
        let (since, time) = (segment.since(), segment.time());
        assert_eq!(
            SegmentName::new("main", segment.instance(), since, time),
            Ok(segment)
        );
    }
    let name = format!("{}{file}", BaseName::folder("main"));
    if let Ok(base) = BaseName::parse("main", &name) {
        assert_eq!(BaseName::new("main", base.instance(), base.time()), Ok(base));
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

//! Why an instance must not store now.

/// Why an instance must not store now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Hold {
    #[error("the instance's own snapshots are not merged yet")]
    OwnNotMerged,
    #[error(
        "the database was away for longer than deletion marks are kept, and is not compared with all others yet"
    )]
    Refilling,
    #[error(
        "another agent writes under this instance's name, {name} is not ours: give each its own `instance`; \
         nothing is stored until it is quiet for five minutes"
    )]
    Namesake { name: String },
    #[error(
        "this prefix of the bucket belongs to PowerDNS' schema {schema}, which {instance} has and this database has not: \
         configure another prefix for each schema"
    )]
    OtherSchema { instance: String, schema: u32 },
    #[error(
        "more than {most} zones were deleted here within a minute (protection.max_deleted_zones_per_minute): what is written here is \
         held back from the other servers and the store, with the deletion of {zones}. `zonetide-agent deletions show` shows which, \
         `… take-back` brings them back, `… let-go` has them deleted everywhere"
    )]
    DeletedZones { zones: usize, most: u32 },
}

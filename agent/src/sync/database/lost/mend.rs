//! Putting back what is lost, under the write lock: PowerDNS may have written meanwhile, and what it wrote stays.

use std::cmp::Ordering;

use super::report::Mended;
use super::sort_out::{Earlier, Found, sort_out};
use crate::content::{Change, Touched};
use crate::lmdb::header::{HEADER_LEN, Header};
use crate::lmdb::{Environment, KeptReader, LmdbError, LmdbErrorKind, Writer};
use crate::sync::database::ahead::Ahead;
use crate::sync::database::dump::to_entry;
use crate::sync::database::loss::Gone;

/// Puts back the entries that are still gone, each as it was.
pub(super) fn put_back(
    env: &Environment,
    gone: &[Gone],
    ahead: &Ahead,
    mended: &mut Mended,
) -> Result<(), LmdbError> {
    if gone.is_empty() {
        return Ok(());
    }
    let mut writer = env.begin_write()?;
    let mut notes = ahead.notes(&writer)?;
    let mut touched = Touched::default();
    for Gone {
        dbi,
        key,
        header,
        value,
        under,
    } in gone
    {
        let handle = writer.dbi(dbi)?;
        let there = writer.get(&handle, key)?;
        if there.is_some_and(|(there, _)| Some(there.txn_id) != *under) {
            continue;
        }
        notes.put(&mut writer, &handle, &to_entry(key, *header, value))?;
        mended.restored(dbi, key, value);
        touched.note(&Change {
            dbi,
            key,
            old: None,
            new: Some(value),
        });
    }
    mended.committed(writer.commit()?, touched);
    Ok(())
}

/// Writes a DBI anew, in order, if it is damaged. `before`: a state of it before it was.
pub(super) fn rewrite(
    env: &Environment,
    dbi: &str,
    before: Option<&KeptReader>,
    ahead: &Ahead,
    mended: &mut Mended,
) -> Result<(), LmdbError> {
    let before = before
        .map(|before| earlier(env, before, dbi))
        .transpose()?
        .flatten();
    let blind = before.is_none();
    let mut writer = env.begin_write()?;
    let mut notes = ahead.notes(&writer)?;
    let handle = writer.dbi(dbi)?;
    let mut found = Vec::new();
    let mut fault = None;
    writer.for_each_stored(&handle, |key, stored| match Header::split(stored) {
        Ok((header, value)) => found.push(Found {
            key: key.to_vec(),
            header,
            value: value.to_vec(),
            is_long: env.is_long(key, stored.len()),
        }),
        Err(error) => fault = Some(error),
    })?;
    if let Some(error) = fault {
        let (dbi, key) = (dbi.to_owned(), String::new());
        return Err(env.fail(LmdbErrorKind::Header { dbi, key, error }));
    }
    let count = found.len();
    let in_order = found
        .windows(2)
        .all(|two| matches!(two, [first, second] if first.key.cmp(&second.key) == Ordering::Less));
    let sorted = sort_out(dbi, found, before);
    let as_it_was = in_order && sorted.renamed == 0 && sorted.entries.len() == count;
    if as_it_was && sorted.missing.is_empty() {
        return Ok(());
    }
    if !as_it_was {
        refill(&mut writer, dbi, &sorted.entries)?;
        mended.rewritten(dbi, sorted.renamed, sorted.dropped, blind);
    }
    for Found {
        key, header, value, ..
    } in &sorted.missing
    {
        notes.put(&mut writer, &handle, &to_entry(key, *header, value))?;
        mended.restored(dbi, key, value);
    }
    mended.committed(writer.commit()?, Touched::everything());
    Ok(())
}

fn refill(writer: &mut Writer<'_>, dbi: &str, entries: &[Found]) -> Result<(), LmdbError> {
    let handle = writer.dbi(dbi)?;
    writer.refill(
        &handle,
        entries
            .iter()
            .map(|found| (found.key.as_slice(), found.header, found.value.as_slice())),
    )
}

/// The live entries with long values of a state; `None` if it was damaged already.
fn earlier(env: &Environment, state: &KeptReader, dbi: &str) -> Result<Option<Earlier>, LmdbError> {
    let mut earlier = Earlier::new();
    let visited = state.for_each(dbi, |key, version| {
        if !version.header.deleted && env.is_long(key, HEADER_LEN + version.value.len()) {
            earlier.insert(key.to_vec(), (version.header, version.value.to_vec()));
        }
    });
    match visited {
        Ok(()) => Ok(Some(earlier)),
        Err(LmdbError {
            kind: LmdbErrorKind::Disorder { .. } | LmdbErrorKind::Page { .. },
            ..
        }) => Ok(None),
        Err(error) => Err(error),
    }
}

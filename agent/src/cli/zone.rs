//! `zone show`: a zone as it is or was.

use std::io::{BufWriter, Write as _};

use anyhow::Context as _;
use clap::Subcommand;

use super::output::{ignore_closed_pipe, time};
use super::past::{Pasts, When, ZoneName};
use super::sync::now;
use crate::config::Config;
use crate::content::zone_id;
use crate::history::{Scope, Timeline};
use crate::lmdb::LmdbError;
use crate::show;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print a zone as a zone file, as the history in the store shows it.
    Show {
        zone: ZoneName,
        /// As it was then: a time such as 2026-11-30T10:00:00Z, or 90m for so long ago; default: now.
        #[arg(long, value_name = "TIME")]
        at: Option<When>,
    },
}

impl Command {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let Self::Show { zone, at } = self;
        let at = at.map_or_else(now, |at| at.0);
        let scope = Scope::of_zones([zone.0.clone()]);
        let mut pasts = Pasts::fetch(config, scope, (at, at)).await?;
        pasts.reach_back_to(at)?;
        let timelines = pasts.replay(at, |_, _| Ok(()))?;
        pasts.tell_notes();
        let id = timelines
            .values()
            .find_map(|timeline| zone_id(timeline.env(), &zone.0).transpose())
            .transpose()?;
        let id = id.with_context(|| format!("there was no zone {} at {}", zone.0, time(at)))?;
        let mut lines = Vec::new();
        for timeline in timelines.values() {
            records(timeline, id, &zone.0, &mut lines)?;
        }
        let mut out = BufWriter::new(std::io::stdout().lock());
        let written = writeln!(out, "; {} at {}", zone.0, time(at))
            .and_then(|()| lines.iter().try_for_each(|line| writeln!(out, "{line}")))
            .and_then(|()| out.flush());
        ignore_closed_pipe(written)
    }
}

/// The records, in the order in which PowerDNS keeps them; the SOA record first.
fn records(timeline: &Timeline, id: u32, zone: &str, lines: &mut Vec<String>) -> Result<(), LmdbError> {
    timeline.env().read(|reader| {
        let Some(dbi) = reader.dbi("records_v5")? else {
            return Ok(());
        };
        reader.for_each(&dbi, |key, header, value| {
            if !header.deleted && show::zone_of_record("records_v5", key) == Some(id) {
                let of = show::record_lines(zone, key, value).unwrap_or_default();
                let is_soa = of.iter().any(|line| line.contains(" IN SOA ")) && key.len() == 8;
                if is_soa {
                    lines.splice(0..0, of);
                } else {
                    lines.extend(of);
                }
            }
            Ok(())
        })
    })
}

//! Where the figures go besides standard output.

use std::path::Path;

use serde_json::json;

use crate::figures::Figures;
use crate::plot::plot;
use crate::servers::{self, Servers};
use crate::table::table;
use crate::zones::{self, Zones};

/// What stands around the figures of each kind in the documentation.
const RECORDS: [&str; 2] = [
    "<!-- figures: written by `make bench BENCH_DOCS=1` -->\n",
    "<!-- end of the figures -->\n",
];
const SERVERS: [&str; 2] = [
    "<!-- figures of servers: written by `make bench-servers BENCH_DOCS=1` -->\n",
    "<!-- end of the figures of servers -->\n",
];

/// All that was measured.
pub(crate) struct Output<'f> {
    /// By the number of records.
    pub(crate) all: &'f [Figures],
    /// By the number of zones.
    pub(crate) zones: &'f [Zones],
    /// By the number of servers.
    pub(crate) servers: &'f [Servers],
}

impl Output<'_> {
    pub(crate) fn text(&self) -> String {
        let both = [self.changes(), self.servers()].into_iter().flatten();
        both.collect::<Vec<_>>().join("\n")
    }

    fn changes(&self) -> Option<String> {
        let mut text = String::new();
        if !self.all.is_empty() {
            text.push_str(&table(self.all));
        }
        if !self.zones.is_empty() {
            text.push_str(&zones::table(self.zones));
        }
        Some(text).filter(|text| !text.is_empty())
    }

    fn servers(&self) -> Option<String> {
        (!self.servers.is_empty()).then(|| servers::table(self.servers))
    }

    /// A directory that gets the tables, the figures and the plot.
    pub(crate) fn write(&self, dir: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(dir)?;
        std::fs::write(dir.join("performance-table.md"), self.text())?;
        std::fs::write(dir.join("performance.svg"), plot(self.all))?;
        let figures = json!({"records": self.all, "zones": self.zones, "servers": self.servers});
        std::fs::write(
            dir.join("performance.json"),
            serde_json::to_string_pretty(&figures)?,
        )
    }

    /// The documentation of this checkout, as far as it is about what was measured.
    pub(crate) fn document(&self) -> std::io::Result<()> {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        if !self.all.is_empty() {
            std::fs::write(docs.join("performance.svg"), plot(self.all))?;
        }
        let page = docs.join("performance.md");
        let mut text = std::fs::read_to_string(&page)?;
        for ([begin, end], figures) in [(RECORDS, self.changes()), (SERVERS, self.servers())] {
            let Some(figures) = figures else { continue };
            let parts = text.split_once(begin).and_then(|(before, rest)| {
                let (_, after) = rest.split_once(end)?;
                Some((before, after))
            });
            let Some((before, after)) = parts else {
                let what = format!("{} has no place for the figures", page.display());
                return Err(std::io::Error::other(what));
            };
            text = format!("{before}{begin}\n{figures}\n{end}{after}");
        }
        std::fs::write(&page, text)
    }
}

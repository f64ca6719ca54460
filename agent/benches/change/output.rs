//! Where the figures go besides standard output.

use std::path::Path;

use serde_json::json;

use crate::figures::Figures;
use crate::plot::plot;
use crate::table::table;
use crate::zones::{self, Zones};

const BEGIN: &str = "<!-- figures: written by `make bench BENCH_DOCS=1` -->\n";
const END: &str = "<!-- end of the figures -->\n";

/// All that was measured.
pub(crate) struct Output<'f> {
    /// By the number of records.
    pub(crate) all: &'f [Figures],
    /// By the number of zones.
    pub(crate) zones: &'f [Zones],
}

impl Output<'_> {
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if !self.all.is_empty() {
            text.push_str(&table(self.all));
        }
        if !self.zones.is_empty() {
            text.push_str(&zones::table(self.zones));
        }
        text
    }

    /// A directory that gets the tables, the figures and the plot.
    pub(crate) fn write(&self, dir: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(dir)?;
        std::fs::write(dir.join("performance-table.md"), self.text())?;
        std::fs::write(dir.join("performance.svg"), plot(self.all))?;
        let figures = json!({"records": self.all, "zones": self.zones});
        std::fs::write(
            dir.join("performance.json"),
            serde_json::to_string_pretty(&figures)?,
        )
    }

    /// The documentation of this checkout.
    pub(crate) fn document(&self) -> std::io::Result<()> {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        std::fs::write(docs.join("performance.svg"), plot(self.all))?;
        let page = docs.join("performance.md");
        let text = std::fs::read_to_string(&page)?;
        let parts = text.split_once(BEGIN).and_then(|(before, rest)| {
            let (_, after) = rest.split_once(END)?;
            Some((before, after))
        });
        let Some((before, after)) = parts else {
            let what = format!("{} has no place for the figures", page.display());
            return Err(std::io::Error::other(what));
        };
        let text = self.text();
        std::fs::write(&page, format!("{before}{BEGIN}\n{text}\n{END}{after}"))
    }
}

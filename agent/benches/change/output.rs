//! Where the figures go besides standard output.

use std::path::Path;

use crate::figures::Figures;
use crate::plot::plot;
use crate::table::table;

const BEGIN: &str = "<!-- figures: written by `make bench BENCH_DOCS=1` -->\n";
const END: &str = "<!-- end of the figures -->\n";

/// A directory that gets the table, the figures and the plot.
pub(crate) fn write(dir: &Path, all: &[Figures]) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    std::fs::write(dir.join("performance-table.md"), table(all))?;
    std::fs::write(dir.join("performance.svg"), plot(all))?;
    std::fs::write(dir.join("performance.json"), serde_json::to_string_pretty(all)?)
}

/// The documentation of this checkout.
pub(crate) fn document(all: &[Figures]) -> std::io::Result<()> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    std::fs::write(docs.join("performance.svg"), plot(all))?;
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
    std::fs::write(&page, format!("{before}{BEGIN}\n{}\n{END}{after}", table(all)))
}

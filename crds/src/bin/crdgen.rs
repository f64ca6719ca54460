//! Writes each `CustomResourceDefinition` into `crds/` and into the chart. Run it from anywhere in the checkout.

use std::{fs, path::Path};

use zonetide_crds::yaml::Kind;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for kind in Kind::ALL {
        for (path, text) in [
            (kind.plain_path(), kind.plain()?),
            (kind.chart_path(), kind.chart()?),
        ] {
            let file = root.join(&path);
            if let Some(directory) = file.parent() {
                fs::create_dir_all(directory)?;
            }
            fs::write(&file, text)?;
            println!("wrote {path}");
        }
    }
    Ok(())
}

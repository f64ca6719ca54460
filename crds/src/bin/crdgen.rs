//! Writes the `CustomResourceDefinition` into `crds/` and into the chart. Run it from anywhere in the checkout.

use std::{fs, path::Path};

use zonetide_crds::yaml;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (path, text) in [
        (yaml::PLAIN_PATH, yaml::plain()?),
        (yaml::CHART_PATH, yaml::chart()?),
    ] {
        let file = root.join(path);
        if let Some(directory) = file.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(&file, text)?;
        println!("wrote {path}");
    }
    Ok(())
}

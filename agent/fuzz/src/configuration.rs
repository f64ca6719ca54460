use std::path::Path;

use zonetide_agent::config::Config;

/// The text of a configuration file.
pub fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let config = match read(text) {
        Ok(config) => config,
        Err(error) => return drop(error.to_string()),
    };
    let shown = config.to_yaml().unwrap();
    // A `$` out of a variable would be taken for the beginning of another one.
    if !shown.contains('$') {
        let again = read(&shown).unwrap_or_else(|error| panic!("{error}\n{shown}"));
        assert_eq!(again.to_yaml().unwrap(), shown);
    }
}

fn read(text: &str) -> Result<Config, zonetide_agent::config::ConfigError> {
    Config::parse(Path::new("agent.yaml"), text, environment)
}

/// An environment of a plain value, one that is YAML itself, one that names a variable, and an empty one.
fn environment(name: &str) -> Option<String> {
    let value = match name {
        "A" => "value",
        "Y" => "{a: [1, &x 2], b: *x}\nc: |\n  d",
        "V" => "${A}$A${",
        "E" => "",
        _ => return None,
    };
    Some(value.to_owned())
}

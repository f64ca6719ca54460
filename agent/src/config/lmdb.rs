//! `lmdbs.<name>`: the LMDB files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};

use super::{ConfigError, Size, value_error};
use crate::lmdb::OpenOptions;
use crate::snapshot::is_database_name;

/// One LMDB file.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Lmdb {
    #[serde(default)]
    pub path: PathBuf,
    #[serde(default)]
    pub schema_tracks_changes: bool,
    /// Refused when set: it is for databases that are not native.
    #[serde(default)]
    pub dupsort_hack: bool,
    /// Refused when set: it is a test of readers of the header.
    #[serde(default)]
    pub header_extra_padding_block: bool,
    #[serde(default)]
    pub options: LmdbOptions,
    #[serde(default)]
    pub dbi_options: BTreeMap<String, DbiOptions>,
}

impl Lmdb {
    /// How to open the file.
    pub fn open_options(&self) -> OpenOptions {
        OpenOptions {
            map_size: self.options.map_size.0,
            max_dbs: self.options.max_dbs,
            create: self.options.create,
            no_subdir: self.options.no_subdir,
        }
    }

    pub(super) fn check(&self, name: &str) -> Result<(), ConfigError> {
        let key = |key: &str| format!("lmdbs.{name}.{key}");
        if !is_database_name(name) {
            let reason = "the name of a database has no \"__\", '/' or '.' in it, and no '_' at its end";
            return Err(value_error(format!("lmdbs.{name}"), reason));
        }
        if self.path.as_os_str().is_empty() {
            return Err(value_error(key("path"), "is empty: name the LMDB file"));
        }
        if !self.schema_tracks_changes {
            return Err(value_error(
                key("schema_tracks_changes"),
                "only native databases are supported, such as PowerDNS writes from 4.8 on: set it to true, and \
                 `lmdb-lightning-stream=yes` in PowerDNS (docs/lightning-stream.md)",
            ));
        }
        if self.dupsort_hack {
            let reason = "is for databases that are not native, which PowerDNS has not written since 4.8: remove it \
                          (docs/lightning-stream.md)";
            return Err(value_error(key("dupsort_hack"), reason));
        }
        if self.header_extra_padding_block {
            let reason =
                "makes values longer only to test who reads them: remove it (docs/lightning-stream.md)";
            return Err(value_error(key("header_extra_padding_block"), reason));
        }
        for (dbi, options) in &self.dbi_options {
            if options
                .override_create_flags
                .as_ref()
                .is_some_and(|flags| !flags.is_none())
            {
                return Err(value_error(
                    key(&format!("dbi_options.{dbi}.override_create_flags")),
                    "native databases have DBIs without flags only: remove it or set it to 0",
                ));
            }
        }
        Ok(())
    }
}

/// `lmdbs.<name>.options`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LmdbOptions {
    pub no_subdir: bool,
    pub create: bool,
    /// Rights of folders that are made, less the umask.
    pub dir_mask: Mode,
    /// Rights of files that are made, less the umask.
    pub file_mask: Mode,
    pub map_size: Size,
    pub max_dbs: u32,
}

impl Default for LmdbOptions {
    fn default() -> Self {
        Self {
            no_subdir: false,
            create: false,
            // Nothing for others, unlike Lightning Stream's 0775 and 0664: the database has DNSSEC's private keys.
            dir_mask: Mode(0o770),
            file_mask: Mode(0o660),
            map_size: Size::mebibytes(1024),
            max_dbs: 64,
        }
    }
}

impl LmdbOptions {
    pub(super) fn take_zero_for_the_default(&mut self) {
        let default = Self::default();
        for (mode, default) in [
            (&mut self.dir_mask, default.dir_mask),
            (&mut self.file_mask, default.file_mask),
        ] {
            if mode.0 == 0 {
                *mode = default;
            }
        }
        if self.map_size.0 == 0 {
            self.map_size = default.map_size;
        }
        if self.max_dbs == 0 {
            self.max_dbs = default.max_dbs;
        }
    }
}

/// Rights of a file, as `0664`, `0o664` or in decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(pub u32);

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_mode(&text).map(Mode).map_err(D::Error::custom)
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("0{:o}", self.0))
    }
}

fn parse_mode(text: &str) -> Result<u32, String> {
    let octal = text.strip_prefix("0o").or_else(|| text.strip_prefix('0'));
    let parsed = match octal {
        Some("") => Ok(0),
        Some(digits) => u32::from_str_radix(digits, 8),
        None => text.parse(),
    };
    match parsed {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        Ok(mode) => Err(format!(
            "{text} is {mode:#o}, more than 0777: begin octal numbers with 0"
        )),
        Err(_) => Err(format!("{text:?} are no rights of a file such as 0664")),
    }
}

/// `lmdbs.<name>.dbi_options.<dbi>`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DbiOptions {
    pub override_create_flags: Option<DbiFlags>,
}

/// LMDB flags of a DBI, as a number or as names with `|` between them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct DbiFlags(String);

impl DbiFlags {
    fn is_none(&self) -> bool {
        matches!(self.0.trim(), "" | "0" | "0x0" | "0X0")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_octal_with_a_leading_zero_and_decimal_without() {
        for (text, mode) in [("0664", 0o664), ("0o775", 0o775), ("436", 0o664), ("0", 0)] {
            assert_eq!(parse_mode(text), Ok(mode), "{text}");
        }
        let decimal = parse_mode("664").unwrap_err();
        assert!(decimal.contains("begin octal numbers with 0"), "{decimal}");
        assert!(parse_mode("rw-rw-r--").unwrap_err().contains("rw-rw-r--"));
        let read: LmdbOptions = serde_saphyr::from_str("file_mask: 0600\ndir_mask: 0o700\n").unwrap();
        assert_eq!((read.file_mask, read.dir_mask), (Mode(0o600), Mode(0o700)));
    }
}

//! `powerdns`: the server beside the agent. Lightning Stream has no such section.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ConfigError, value_error};

/// Longest path of a socket on Linux, bytes.
const LONGEST: usize = 107;

/// The PowerDNS that answers from the databases.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PowerDns {
    /// Its control socket, over which its caches are flushed; empty: they are not.
    pub control_socket: PathBuf,
}

impl PowerDns {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let length = self.control_socket.as_os_str().len();
        if length > LONGEST {
            let reason = format!(
                "a socket's path has at most {LONGEST} bytes, this one {length}: set a shorter socket-dir"
            );
            return Err(value_error("powerdns.control_socket", reason));
        }
        Ok(())
    }
}

//! The binary `zonetide-agent`.

use std::process::ExitCode;

use clap::Parser as _;
use zonetide_agent::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // object_store's HTTP client takes the process-wide provider; a second installation is no error to us.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match cli.run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("zonetide-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

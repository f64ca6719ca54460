//! Reads the command line and runs the operator.

use clap::Parser;
use zonetide_operator::args::Args;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    zonetide_operator::init_logging(args.log_format);
    zonetide_operator::run(args).await
}

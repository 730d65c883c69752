//! The `skein` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    skein_flight_server::cli::main()
}

//! `skein version`.

use super::{Failure, output};

/// Prints the version.
pub fn run() -> Result<(), Failure> {
    output::line(concat!("skein ", env!("CARGO_PKG_VERSION")))
}

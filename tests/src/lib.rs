//! End-to-end tests live in `tests/e2e`: one binary, one module per subject, each against a real server on a port of its
//! own. `slt/` holds sqllogictest files that run through the wire.
//!
//! [`fuzz`] has what the fuzz targets in `fuzz/` and the test over their corpus call.

pub mod fuzz;

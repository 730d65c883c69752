//! Looking after what is stored: [`verify`] finds damage, [`gc`] removes what nothing refers to, [`resync`] restores
//! counts and statistics from the files themselves.

mod gc;
mod resync;
mod verify;

pub use gc::{GcReport, Garbage, GarbageReason, gc};
pub use resync::{FileChange, ResyncReport, resync};
pub use verify::{Finding, FindingKind, VerifyOptions, VerifyReport, verify};

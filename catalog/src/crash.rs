//! Named points at which a test has the process die, as it would when the power fails.
//!
//! There are, for each change of a dataset (`append`, `delete`, `compact`, `expire`, ...), `before` its entry in the log and `after` it, and
//! of a transaction over several datasets `between` two entries, `before` its outcome and `after` it: `delete.before`, `transaction.between`.
//! Besides these there is `file.written` after each data file of a writer, `compact.written` when a compaction has written its files and
//! `compact.checked` when it has read them back, `collect.removed` after each object that garbage collection removes. A build of an index
//! passes `index.built` before its files are uploaded, `index.written` when they are and only the manifest that makes them a generation is
//! not, and `index.listed` before the generation becomes the live one.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

struct Armed {
    point: String,
    /// How many times it is passed until it is the one, that one included.
    left: AtomicU64,
}

static ARMED: OnceLock<Armed> = OnceLock::new();

/// From now on the process dies when it comes to this point; with `#3` at its end, at the third time. The first call counts. In a
/// release build nothing happens.
pub fn arm(point: &str) {
    let (point, times) = point.split_once('#').unwrap_or((point, "1"));
    let left = AtomicU64::new(times.parse().unwrap_or(1));
    ARMED.get_or_init(|| Armed { point: point.to_owned(), left });
}

/// Here is the point `what.name`: the process dies if it was armed for it.
pub fn point(what: &str, name: &str) {
    if cfg!(debug_assertions)
        && let Some(armed) = ARMED.get()
        && armed.point.split_once('.') == Some((what, name))
        && armed.left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        std::process::abort();
    }
}

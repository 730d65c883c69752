//! How far a running query is.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicU64, Ordering},
};

use datafusion::physical_plan::ExecutionPlan;

/// How far a running query is: what its scans have read of what they will read. What comes after them is not foreseen.
#[derive(Debug, Clone)]
pub struct Progress {
    plan: Weak<dyn ExecutionPlan>,
    /// Rows that other servers have read for it.
    read_elsewhere: Arc<AtomicU64>,
}

/// Rows.
#[derive(Debug, Default, Clone, Copy)]
struct Scanned {
    read: usize,
    of: usize,
}

impl Progress {
    pub(crate) fn of(plan: &Arc<dyn ExecutionPlan>, read_elsewhere: &Arc<AtomicU64>) -> Self {
        Self { plan: Arc::downgrade(plan), read_elsewhere: Arc::clone(read_elsewhere) }
    }

    /// From 0 to 1; `None` when it reads something of which it is not known how large it is, or has ended.
    pub fn fraction(&self) -> Option<f64> {
        let plan = self.plan.upgrade()?;
        let read_elsewhere = usize::try_from(self.read_elsewhere.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        let mut scanned = Scanned { read: read_elsewhere, of: 0 };
        look(plan.as_ref(), &mut scanned)?;
        // Counts of rows are far from where doubles have gaps that matter.
        #[allow(clippy::cast_precision_loss)]
        let fraction = |Scanned { read, of }: Scanned| read.min(of) as f64 / of as f64;
        (scanned.of > 0).then(|| fraction(scanned))
    }
}

fn look(plan: &dyn ExecutionPlan, scanned: &mut Scanned) -> Option<()> {
    let children = plan.children();
    if children.is_empty() {
        let of = *plan.partition_statistics(None).ok()?.num_rows.get_value()?;
        let read = plan.metrics().and_then(|metrics| metrics.output_rows()).unwrap_or(0);
        scanned.of += of;
        // A filter within the scan can leave less than was foreseen, never more.
        scanned.read = scanned.read.saturating_add(read.min(of));
        return Some(());
    }
    children.into_iter().try_for_each(|child| look(child.as_ref(), scanned))
}

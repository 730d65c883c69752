//! A limit that reaches a scan together with a filter makes the Parquet reader pick row groups that match as a whole and read them whole,
//! deleted rows too. It does not when the order of the files matters.

use std::sync::Arc;

use datafusion::{
    common::{
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode},
    },
    datasource::{
        physical_plan::{FileScanConfig, parquet::ParquetAccessPlan},
        source::DataSourceExec,
    },
    error::Result,
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::ExecutionPlan,
};

#[derive(Debug)]
pub(super) struct Limits;

impl PhysicalOptimizerRule for Limits {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let changed = plan.transform_up(|node| match in_order(node.as_ref()) {
            Some(scan) => Ok(Transformed::yes(scan)),
            None => Ok(Transformed::no(node)),
        })?;
        Ok(changed.data)
    }

    fn name(&self) -> &str {
        "limits"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn in_order(node: &dyn ExecutionPlan) -> Option<Arc<dyn ExecutionPlan>> {
    let scan = node.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref::<FileScanConfig>()?;
    let mut files = scan.file_groups.iter().flat_map(|group| group.iter());
    let affected = scan.limit.is_some() && files.any(|file| file.extension::<ParquetAccessPlan>().is_some());
    if affected && !scan.preserve_order { node.with_preserve_order(true) } else { None }
}

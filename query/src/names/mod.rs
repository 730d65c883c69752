//! From names to tables. All names of a statement are looked up before DataFusion plans it, because the catalog is
//! asynchronous and the planner is not.

mod constraints;
mod context;
mod extent;
mod information_schema;
mod reads;
mod resolver;

pub(crate) use extent::check as check_extent;
pub(crate) use reads::Reads;
pub(crate) use resolver::Scope;

//! Statements that change something, one file each.

mod affected;
mod alter_table;
pub(crate) mod conform;
mod copy;
mod create_table;
pub(crate) mod definition;
mod delete;
mod drop;
mod external;
mod index;
mod insert;
mod keys;
mod merge;
mod nulls;
mod rows;
mod schema;
mod set;
mod transaction;
mod truncate;
mod update;
mod vectors;
mod view;

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::{common::ParamValues, logical_expr::LogicalPlan};

pub(crate) use self::{
    alter_table::plan as alter_table,
    copy::plan as copy,
    create_table::{IfExists, of_rows as create_from_rows, plan as create_table},
    delete::{of_rows as delete_rows, plan as delete},
    drop::plan as drop,
    external::plan as create_external,
    index::{create as create_index, drop as drop_index},
    insert::{nullable, of_rows as insert_rows, plan as insert},
    merge::plan as merge,
    schema::create as create_schema,
    set::{plan as set, reset},
    transaction::plan as control,
    truncate::plan as truncate,
    update::{of_rows as update_rows, plan as update},
    view::plan as create_view,
};
use crate::{Error, Parameter, Result, Session, UpdateCount, plan, registry::Run, session::Core};

/// A change, planned and checked.
#[derive(Debug, Clone)]
pub(crate) enum Update {
    CreateTable(create_table::CreateTable),
    Insert(insert::Insert),
    Delete(delete::Delete),
    Modify(update::Modify),
    Merge(merge::Merge),
    Truncate(truncate::Truncate),
    AlterTable(alter_table::AlterTable),
    Copy(copy::Copy),
    CreateView(view::CreateView),
    CreateExternal(external::CreateExternal),
    CreateSchema(schema::CreateSchema),
    CreateIndex(index::CreateIndex),
    DropIndex(index::DropIndex),
    Drop(drop::Drop),
    Set(set::Set),
    Control(transaction::Control),
}

/// What a running change has at hand.
pub(crate) struct Running<'a> {
    pub(crate) session: &'a Arc<Session>,
    pub(crate) core: &'a Core,
    pub(crate) run: &'a Run,
}

/// The query a change takes its rows from.
#[derive(Debug, Clone)]
pub(crate) struct Input(LogicalPlan);

impl Input {
    /// Optimises the query once, so that what is wrong with it is known before it runs.
    fn new(core: &Core, logical: LogicalPlan) -> Result<Self> {
        plan::optimise(core, &logical)?;
        Ok(Self(logical))
    }

    pub(crate) fn logical(&self) -> &LogicalPlan {
        &self.0
    }

    fn bind(&self, values: &ParamValues) -> Result<Self> {
        Ok(Self(self.0.clone().replace_params_with_values(values)?))
    }
}

impl Update {
    /// The query it takes its rows from, if it has one.
    pub(crate) fn input(&self) -> Option<&Input> {
        match self {
            Self::CreateTable(create) => create.input(),
            Self::Insert(insert) => Some(&insert.input),
            Self::Delete(delete) => delete.input.as_ref(),
            Self::Modify(update) => Some(&update.input),
            Self::Merge(merge) => Some(&merge.input),
            Self::Copy(copy) => Some(&copy.input),
            Self::Truncate(_)
            | Self::AlterTable(_)
            | Self::CreateView(_)
            | Self::CreateExternal(_)
            | Self::CreateSchema(_)
            | Self::CreateIndex(_)
            | Self::DropIndex(_)
            | Self::Drop(_)
            | Self::Set(_)
            | Self::Control(_) => None,
        }
    }

    /// The same change with its parameters replaced.
    pub(crate) fn bind(&self, values: &ParamValues) -> Result<Self> {
        let mut bound = self.clone();
        let input = match &mut bound {
            Self::CreateTable(create) => create.input_mut(),
            Self::Insert(insert) => Some(&mut insert.input),
            Self::Delete(delete) => delete.input.as_mut(),
            Self::Modify(update) => Some(&mut update.input),
            Self::Merge(merge) => Some(&mut merge.input),
            Self::Copy(copy) => Some(&mut copy.input),
            _ => None,
        };
        if let Some(input) = input {
            *input = input.bind(values)?;
        }
        Ok(bound)
    }

    /// The same change, fed from many rows of parameters at once.
    pub(crate) fn bind_rows(&self, parameters: &[Parameter], batches: Vec<RecordBatch>) -> Result<Self> {
        match self {
            Self::Insert(insert) => {
                let mut bound = insert.clone();
                bound.input = rows::over_rows(&insert.input, parameters, batches)?;
                Ok(Self::Insert(bound))
            }
            _ => Err(Error::unsupported(
                "a statement other than INSERT with many rows of parameters",
                "send it once for each row",
            )),
        }
    }

    /// Makes the change.
    pub(crate) async fn run(&self, running: &Running<'_>) -> Result<UpdateCount> {
        match self {
            Self::CreateTable(create) => create.run(running).await,
            Self::Insert(insert) => insert.run(running).await,
            Self::Delete(delete) => delete.run(running).await,
            Self::Modify(update) => update.run(running).await,
            Self::Merge(merge) => merge.run(running).await,
            Self::Truncate(truncate) => truncate.run(running).await,
            Self::AlterTable(alter) => alter.run(running).await,
            Self::Copy(copy) => copy.run(running).await,
            Self::CreateView(create) => create.run(running).await,
            Self::CreateExternal(create) => create.run(running).await,
            Self::CreateSchema(create) => create.run(running).await,
            Self::CreateIndex(create) => create.run(running).await,
            Self::DropIndex(drop) => drop.run(running).await,
            Self::Drop(drop) => drop.run(running).await,
            Self::Set(set) => set.run(running.session),
            Self::Control(control) => control.run(running).await,
        }
    }
}

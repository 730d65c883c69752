//! A planned statement.

mod bind;
mod bulk;
mod execute;
mod fallback;
mod optimise;
mod parameters;
mod parts;
mod point;
mod source;

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Schema, SchemaRef},
};
use datafusion::{logical_expr::LogicalPlan, scalar::ScalarValue};
use skein_model::{DatasetId, Version};

use crate::{
    Error, QueryStream, Result, Session,
    names::{Reads, Scope},
    search,
    session::Core,
    statement::{Input, Update},
};

pub(crate) use bulk::Contexts as BulkContexts;
pub(crate) use execute::{open, physical};
pub(crate) use optimise::optimise;
pub(crate) use parts::looks_at_its_row;
pub use parts::{Divisible, Part};
pub(crate) use source::Sent;
pub use source::Source;

/// The snapshot version of each dataset that a plan reads.
pub type Pins = BTreeMap<DatasetId, Version>;

/// Whether a statement answers with rows or with a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanKind {
    /// Rows: run it with [`Plan::execute`].
    Query,
    /// A change: run it with [`Plan::execute_update`].
    Update,
}

/// A parameter of a statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name, `$1` for the first.
    pub name: String,
    /// Its type where the statement tells it.
    pub data_type: Option<DataType>,
}

/// What an update did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UpdateCount {
    /// Rows written by INSERT, CREATE TABLE AS and COPY, changed by UPDATE, removed by DELETE and TRUNCATE; `None` for other
    /// statements.
    pub rows: Option<u64>,
}

/// A statement that was parsed, resolved and optimised once. Cheap to clone; can be run many times.
#[derive(Debug, Clone)]
pub struct Plan(Arc<Planned>);

#[derive(Debug)]
struct Planned {
    source: Source,
    /// The statement, as it is shown.
    sql: Arc<str>,
    session: Arc<Session>,
    core: Arc<Core>,
    body: Body,
    schema: SchemaRef,
    parameters: Vec<Parameter>,
    pins: Pins,
    /// What the plan was made from, for queries.
    made_from: Option<MadeFrom>,
}

/// What a query's plan depends on, besides its text.
#[derive(Debug, Clone)]
struct MadeFrom {
    reads: Reads,
    /// [`Session::changes`].
    session: (u64, u64),
}

#[derive(Debug)]
enum Body {
    Query(Box<Query>),
    Update(Box<Update>),
}

#[derive(Debug)]
struct Query {
    /// As planned: what parameters are replaced in.
    logical: LogicalPlan,
    /// What is executed.
    optimised: LogicalPlan,
    /// It runs on one core.
    is_small: bool,
    /// It calls functions such as `now()`, whose value the optimiser puts in: it is optimised again for every run.
    has_clock: bool,
    /// It searches, or asks a model about a text: this is done before it runs, and here.
    searches: bool,
}

impl Query {
    fn new(logical: LogicalPlan, core: &Core) -> Result<Self> {
        let optimised = optimise(core, &logical)?;
        let has_clock = optimise::has_clock(&logical)?;
        let is_small = point::is_small(&optimised);
        let searches = search::searches(&optimised)?;
        Ok(Self { logical, optimised, is_small, has_clock, searches })
    }
}

impl Plan {
    /// `changes` are those of the session when planning began.
    pub(crate) fn query(
        session: Arc<Session>,
        sent: impl Into<Sent>,
        logical: LogicalPlan,
        scope: &Scope,
        changes: (u64, u64),
    ) -> Result<Self> {
        let Sent { source, text: sql } = sent.into();
        let parameters = parameters::of(Some(&logical))?;
        let query = Query::new(logical, scope.core())?;
        let schema = Arc::new(query.optimised.schema().as_arrow().clone());
        Ok(Self(Arc::new(Planned {
            source,
            sql,
            session,
            core: scope.core().clone(),
            body: Body::Query(Box::new(query)),
            schema,
            parameters,
            pins: scope.used(),
            made_from: Some(MadeFrom { reads: scope.reads(), session: changes }),
        })))
    }

    pub(crate) fn update(session: Arc<Session>, sent: impl Into<Sent>, update: Update, scope: &Scope) -> Result<Self> {
        let Sent { source, text: sql } = sent.into();
        let parameters = parameters::of(update.input().map(Input::logical))?;
        Ok(Self(Arc::new(Planned {
            source,
            sql,
            session,
            core: scope.core().clone(),
            body: Body::Update(Box::new(update)),
            schema: Arc::new(Schema::empty()),
            parameters,
            pins: scope.used(),
            made_from: None,
        })))
    }

    /// The same plan with another body and no parameters.
    fn bound(&self, body: Body) -> Self {
        let schema = match &body {
            Body::Query(query) => Arc::new(query.optimised.schema().as_arrow().clone()),
            Body::Update(_) => self.0.schema.clone(),
        };
        let Planned { source, sql, session, core, pins, .. } = self.0.as_ref();
        Self(Arc::new(Planned {
            source: source.clone(),
            sql: sql.clone(),
            session: session.clone(),
            core: core.clone(),
            body,
            schema,
            parameters: Vec::new(),
            pins: pins.clone(),
            made_from: None,
        }))
    }

    /// Whether [`Plan::is_current`] can ever be true of it: it is a query, and only of what has versions.
    pub fn is_reusable(&self) -> bool {
        self.0.made_from.as_ref().is_some_and(|from| from.reads.are_comparable())
    }

    /// Whether planning the statement again would give the same: its session's options and temporary tables are the same, and every
    /// name in it stands for the same dataset at the same version. False also when that cannot be told.
    pub async fn is_current(&self) -> bool {
        let Some(from) = &self.0.made_from else { return false };
        let session = &self.0.session;
        session.touch();
        from.session == session.changes() && from.reads.hold(&session.catalog()).await
    }

    /// Whether an option or a temporary table of its session has changed since it was planned.
    pub fn session_changed(&self) -> bool {
        self.0.made_from.as_ref().is_some_and(|from| from.session != self.0.session.changes())
    }

    /// What it was planned from, to plan it again.
    pub fn source(&self) -> &Source {
        &self.0.source
    }

    /// The statement as it is shown: SQL as it was sent.
    pub fn sql(&self) -> &str {
        &self.0.sql
    }

    /// The session it was planned in.
    pub fn session(&self) -> &Arc<Session> {
        &self.0.session
    }

    /// Whether it answers with rows or with a count.
    pub fn kind(&self) -> PlanKind {
        match self.0.body {
            Body::Query(_) => PlanKind::Query,
            Body::Update(_) => PlanKind::Update,
        }
    }

    /// The schema of the rows; without fields for updates. Strings and bytes of datasets are views (`Utf8View`).
    pub fn schema(&self) -> SchemaRef {
        self.0.schema.clone()
    }

    /// The parameters in numeric order: `$10` comes after `$2`. `?` are numbered from left to right. None are left after
    /// [`Plan::bind`].
    pub fn parameters(&self) -> &[Parameter] {
        &self.0.parameters
    }

    /// The snapshots it reads.
    pub fn pins(&self) -> &Pins {
        &self.0.pins
    }

    /// The same plan with its parameters replaced by values, in the order of [`Plan::parameters`]. Values are cast to the
    /// parameters' types.
    ///
    /// # Errors
    /// `InvalidInput` when the number of values is wrong or one cannot be cast.
    pub fn bind(&self, row: &[ScalarValue]) -> Result<Plan> {
        let values = bind::values(&self.0.parameters, row)?;
        match &self.0.body {
            Body::Query(query) => {
                let logical = query.logical.clone().replace_params_with_values(&values)?;
                Ok(self.bound(Body::Query(Box::new(Query::new(logical, &self.0.core)?))))
            }
            Body::Update(update) => Ok(self.bound(Body::Update(Box::new(update.bind(&values)?)))),
        }
    }

    /// Whether its first rows come as soon as they are read, and soon: it lets all rows of one dataset through, or looks at few rows.
    /// A filter may have to read much before it finds one.
    pub fn streams_at_once(&self) -> bool {
        match &self.0.body {
            Body::Query(query) => query.is_small || self.divisible().is_some_and(|divisible| divisible.whole),
            Body::Update(_) => false,
        }
    }

    /// A query as it was optimised.
    #[cfg(test)]
    pub(crate) fn optimised(&self) -> Option<&LogicalPlan> {
        match &self.0.body {
            Body::Query(query) => Some(&query.optimised),
            Body::Update(_) => None,
        }
    }

    /// Runs a query. Waits for a slot when too many run.
    ///
    /// # Errors
    /// `InvalidInput` for updates and for plans with unbound parameters; `ResourceExhausted` when too many wait;
    /// whatever planning the execution finds.
    pub async fn execute(&self) -> Result<QueryStream> {
        self.check_bound()?;
        match &self.0.body {
            Body::Query(query) => execute::query(&self.0, query).await,
            Body::Update(_) => {
                Err(Error::Invalid("the statement changes something and has no rows; send it as an update".to_owned()))
            }
        }
    }

    /// Runs an update to its end. Dropping the future leaves nothing of it behind.
    ///
    /// # Errors
    /// `InvalidInput` for queries and for plans with unbound parameters; whatever the statement runs into.
    pub async fn execute_update(&self) -> Result<UpdateCount> {
        self.check_bound()?;
        match &self.0.body {
            Body::Update(update) => execute::update(&self.0, update).await,
            Body::Query(_) => {
                Err(Error::Invalid("the statement is a query and changes nothing; send it as a query".to_owned()))
            }
        }
    }

    /// Runs an update once for each row of `parameters` (one column per parameter, in order), as one change: one commit, all
    /// rows or none. Returns the rows affected altogether.
    ///
    /// # Errors
    /// As [`Plan::bind`] and [`Plan::execute_update`]; `Unimplemented` for statements other than INSERT when there is more
    /// than one row.
    pub async fn execute_update_rows(&self, parameters: Vec<RecordBatch>) -> Result<UpdateCount> {
        let rows: usize = parameters.iter().map(RecordBatch::num_rows).sum();
        let Body::Update(update) = &self.0.body else { return self.execute_update().await };
        if rows == 1 {
            let row = bind::only_row(&parameters)?;
            return self.bind(&row)?.execute_update().await;
        }
        if rows == 0 {
            return Ok(UpdateCount { rows: Some(0) });
        }
        let update = update.bind_rows(&self.0.parameters, parameters)?;
        execute::update(&self.0, &update).await
    }

    fn check_bound(&self) -> Result<()> {
        match self.0.parameters.first() {
            None => Ok(()),
            Some(parameter) => Err(Error::Invalid(format!(
                "parameter {} has no value; the statement takes {} parameters",
                parameter.name,
                self.0.parameters.len()
            ))),
        }
    }
}

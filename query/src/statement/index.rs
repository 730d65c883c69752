//! `CREATE INDEX`, `DROP INDEX`.

use datafusion::{
    common::TableReference,
    sql::{
        planner::object_name_to_table_reference,
        sqlparser::ast::{BinaryOperator, CreateIndex as Ast, Expr, IndexType, ObjectName, Value},
    },
};
use futures::FutureExt;
use skein_catalog::At;
use skein_model::TableName;
use skein_text::TextSpec;
use skein_vector::{IndexKind, IndexSpec, Metric};

use super::{Running, Update, affected};
use crate::{Error, NewIndexRequest, Result, UpdateCount, names::Scope, search, sql};

const VERB: &str = "CREATE INDEX";

#[derive(Debug, Clone)]
pub(crate) struct CreateIndex {
    request: NewIndexRequest,
    /// The statement ends when the index can be searched.
    wait: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct DropIndex {
    names: Vec<TableName>,
    if_exists: bool,
}

/// Checks `CREATE INDEX [IF NOT EXISTS] [name] ON t USING kind (column [vector_l2_ops]) WITH (metric = 'cosine', m = 32, ...)`.
pub(crate) async fn create(scope: &Scope, create: Ast) -> Result<Update> {
    let refused = [
        (create.unique, "CREATE UNIQUE INDEX", "declare a key with PRIMARY KEY or UNIQUE"),
        (!create.include.is_empty(), "CREATE INDEX ... INCLUDE", "leave it out: rows are read from the dataset"),
        (create.predicate.is_some(), "CREATE INDEX ... WHERE", "leave it out: searches take filters"),
        (
            !create.alter_options.is_empty() || create.nulls_distinct.is_some(),
            "CREATE INDEX with these options",
            "see docs/search.md",
        ),
    ];
    if let Some((_, what, instead)) = refused.into_iter().find(|(refused, _, _)| *refused) {
        return Err(Error::unsupported(what, instead));
    }
    let normalise = scope.core().state.config_options().sql_parser.enable_ident_normalization;
    let reference = object_name_to_table_reference(create.table_name, normalise)?;
    let table = affected::target(scope, &reference, VERB).await?;
    let [indexed] = create.columns.as_slice() else {
        return Err(Error::Invalid(format!("an index is of one column; {} are named", create.columns.len())));
    };
    let Expr::Identifier(column) = &indexed.column.expr else {
        return Err(Error::Invalid(format!("an index is of a column, not of {}", indexed.column.expr)));
    };
    let column = sql::parts(&ObjectName::from(vec![column.clone()]), normalise)?.pop().unwrap_or_default();
    if create.using.is_none() {
        check_vectors(scope, &reference, &column).await?;
    }
    let kind = kind(create.using.as_ref())?;
    let mut spec = IndexSpec::new(kind, Metric::L2);
    if let Some(class) = &indexed.operator_class {
        spec.metric = operator_class(&class.to_string())?;
    }
    let mut wait = !create.concurrently;
    if !kind.is_of_vectors() {
        spec.words = Some(TextSpec::default());
    }
    let mut model = None;
    for option in &create.with {
        let (name, value) = option_of(option)?;
        match name.as_str() {
            "model" => model = Some(value),
            _ => set(&mut spec, &mut wait, &name, &value)?,
        }
    }
    let name = match create.name {
        None => None,
        Some(name) => Some(index_name(scope, name, normalise, &table)?),
    };
    let request = NewIndexRequest { table, column, name, spec, model, if_not_exists: create.if_not_exists };
    Ok(Update::CreateIndex(CreateIndex { request, wait }))
}

/// Who does not say what kind of index, and names a column without vectors, means one that there is no need for.
async fn check_vectors(scope: &Scope, reference: &TableReference, column: &str) -> Result<()> {
    let schema = scope.provider(reference, At::Latest).await?.schema();
    match schema.field_with_name(column) {
        Ok(field) if search::dimension(field.data_type()).is_none() => Err(Error::unsupported(
            format!("CREATE INDEX on column '{column}', which holds no vectors,"),
            "file statistics prune scans without one",
        )),
        _ => Ok(()),
    }
}

/// An index is in its dataset's schema, as in PostgreSQL.
fn index_name(scope: &Scope, name: ObjectName, normalise: bool, table: &TableName) -> Result<String> {
    let parts = sql::parts(&name, normalise)?;
    match parts.as_slice() {
        [name] => Ok(name.clone()),
        [schema, name] if schema == table.schema() => Ok(name.clone()),
        _ => Err(Error::Invalid(format!(
            "index '{name}' cannot be in another schema than its dataset '{table}' (the current one is '{}')",
            scope.default_schema()
        ))),
    }
}

fn kind(using: Option<&IndexType>) -> Result<IndexKind> {
    match using {
        None => Ok(IndexKind::Hnsw),
        Some(IndexType::Custom(name)) => Ok(name.value.replace('-', "_").parse()?),
        Some(other) => Err(Error::unsupported(
            format!("CREATE INDEX ... USING {other}"),
            "file statistics prune scans without one; for vectors there are hnsw, ivf_flat, ivf_pq and others, for words bm25 (docs/search.md)",
        )),
    }
}

/// The names that pgvector has for them.
fn operator_class(name: &str) -> Result<Metric> {
    match name.to_ascii_lowercase().as_str() {
        "vector_l2_ops" => Ok(Metric::L2),
        "vector_cosine_ops" => Ok(Metric::Cosine),
        "vector_ip_ops" => Ok(Metric::InnerProduct),
        other => Err(Error::Invalid(format!(
            "'{other}' is no operator class for vectors; there are vector_l2_ops, vector_cosine_ops and vector_ip_ops"
        ))),
    }
}

/// `name = value`.
fn option_of(option: &Expr) -> Result<(String, String)> {
    let unusable = || Error::Invalid(format!("'{option}' is no option; write name = value, such as m = 32"));
    let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = option else { return Err(unusable()) };
    let Expr::Identifier(name) = left.as_ref() else { return Err(unusable()) };
    let value = match right.as_ref() {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => number.to_string(),
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => text.clone(),
            Value::Boolean(flag) => flag.to_string(),
            _ => return Err(unusable()),
        },
        Expr::Identifier(word) => word.value.clone(),
        _ => return Err(unusable()),
    };
    Ok((name.value.to_ascii_lowercase(), value))
}

fn set(spec: &mut IndexSpec, wait: &mut bool, name: &str, value: &str) -> Result<()> {
    let number = || -> Result<Option<u32>> {
        let number =
            value.parse().map_err(|_| Error::Invalid(format!("{name} is '{value}'; it must be a whole number")))?;
        Ok(Some(number))
    };
    let flag = || value.parse().map_err(|_| Error::Invalid(format!("{name} is '{value}'; it must be true or false")));
    if let Some(words) = &mut spec.words {
        match name {
            "language" => words.language = value.parse()?,
            "stem" => words.stem = flag()?,
            "remove_stop_words" => words.remove_stop_words = flag()?,
            "ascii_folding" => words.ascii_folding = flag()?,
            "positions" => words.positions = flag()?,
            "wait" => *wait = flag()?,
            _ => {
                return Err(Error::Invalid(format!(
                    "'{name}' is no option of an index of words; there are language, stem, remove_stop_words, ascii_folding, positions and wait"
                )));
            }
        }
        return Ok(());
    }
    match name {
        "metric" => spec.metric = value.parse()?,
        "m" => spec.m = number()?,
        "ef_construction" => spec.ef_construction = number()?,
        "nlist" | "lists" => spec.nlist = number()?,
        "pq_m" => spec.pq_m = number()?,
        "factory" => spec.factory = Some(value.to_owned()),
        "wait" => *wait = flag()?,
        _ => {
            return Err(Error::Invalid(format!(
                "'{name}' is no option of an index; there are metric, m, ef_construction, nlist, pq_m, factory, model and wait"
            )));
        }
    }
    Ok(())
}

/// Checks `DROP INDEX [IF EXISTS] name, ...`.
pub(crate) fn drop(scope: &Scope, names: &[ObjectName], if_exists: bool) -> Result<Update> {
    let normalise = scope.core().state.config_options().sql_parser.enable_ident_normalization;
    let name = |name: &ObjectName| {
        let reference: TableReference = object_name_to_table_reference(name.clone(), normalise)?;
        scope.table_name(&reference)
    };
    let names = names.iter().map(name).collect::<Result<_>>()?;
    Ok(Update::DropIndex(DropIndex { names, if_exists }))
}

impl CreateIndex {
    pub(super) async fn run(&self, running: &Running<'_>) -> Result<UpdateCount> {
        outside(running, VERB)?;
        let engine = running.session.engine();
        let created = engine.create_index(self.request.clone(), &running.session.actor()).boxed().await?;
        if let (true, Some(job)) = (self.wait, created.job) {
            let mut cancel = CancelOnDrop { session: Some(running.session.clone()), job };
            engine.wait_for_job(job).boxed().await?;
            cancel.session = None;
        }
        Ok(UpdateCount::default())
    }
}

impl DropIndex {
    pub(super) async fn run(&self, running: &Running<'_>) -> Result<UpdateCount> {
        outside(running, "DROP INDEX")?;
        for name in &self.names {
            match running.session.engine().drop_index(name, &running.session.actor()).boxed().await {
                Err(error) if self.if_exists && skein_model::Kind::kind(&error) == skein_model::ErrorKind::NotFound => {
                }
                outcome => outcome?,
            }
        }
        Ok(UpdateCount::default())
    }
}

/// An index is of what is committed.
fn outside(running: &Running<'_>, verb: &'static str) -> Result<()> {
    match running.session.catalog().transaction() {
        None => Ok(()),
        Some(_) => Err(Error::unsupported(format!("{verb} in a transaction"), "commit or roll back first")),
    }
}

/// A statement that is cancelled while it waits ends the build as well.
struct CancelOnDrop {
    session: Option<std::sync::Arc<crate::Session>>,
    job: skein_model::JobId,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else { return };
        let job = self.job;
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = session.engine().catalog().jobs().request_cancel(job, &session.actor()).await {
                    tracing::warn!(%job, %error, "a build that nobody waits for could not be ended");
                }
            });
        }
    }
}

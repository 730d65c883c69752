//! `ALTER TABLE t ...`: columns and keys change, files stay.

use std::collections::{HashMap, HashSet};

use arrow::{
    array::ArrayRef,
    datatypes::{DataType, Field},
};
use datafusion::{
    common::DFSchema,
    logical_expr::{DdlStatement, Expr, LogicalPlan, simplify::SimplifyContext},
    optimizer::simplify_expressions::ExprSimplifier,
    scalar::ScalarValue,
    sql::{
        parser::Statement as DfStatement,
        planner::object_name_to_table_reference,
        sqlparser::ast::{
            AlterColumnOperation, AlterTable as Ast, AlterTableOperation, ColumnDef, ColumnOption, ColumnOptionDef,
            DataType as SqlType, DropBehavior, Expr as SqlExpr, Ident, RenameTableNameKind, Statement,
        },
    },
};
use skein_catalog::{Alter, Alteration, At, Change, Dataset, Key, Operation, Snapshot, table_notes, value_text};
use skein_model::TableName;

use super::{
    Running, Update, affected, conform,
    create_table::commit,
    keys::{self, KeySpec},
    nulls,
};
use crate::{Error, Result, UpdateCount, names::Scope, sql};

#[derive(Debug, Clone)]
pub(crate) struct AlterTable {
    target: TableName,
    if_exists: bool,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    /// Another name.
    Name(TableName),
    Columns(Vec<Step>),
}

/// A step whose meaning may depend on the columns there are when it runs.
#[derive(Debug, Clone)]
enum Step {
    Add {
        field: Field,
        default: Option<ScalarValue>,
        keys: Vec<KeySpec>,
        if_not_exists: bool,
    },
    Drop {
        name: String,
        if_exists: bool,
        cascade: bool,
    },
    SetDefault {
        name: String,
        default: ScalarValue,
    },
    AddKey(KeySpec),
    DropKey {
        name: String,
        if_exists: bool,
    },
    /// Any other.
    Plain(Alteration),
}

const VERB: &str = "ALTER TABLE";

impl Step {
    /// The keys it declares.
    fn keys(&self) -> &[KeySpec] {
        match self {
            Self::Add { keys, .. } => keys,
            Self::AddKey(key) => std::slice::from_ref(key),
            Self::Drop { .. } | Self::SetDefault { .. } | Self::DropKey { .. } | Self::Plain(_) => &[],
        }
    }
}

/// Checks and plans the statement.
pub(crate) async fn plan(scope: &Scope, alter: Ast) -> Result<Update> {
    if alter.only || alter.location.is_some() || alter.on_cluster.is_some() || alter.table_type.is_some() {
        return Err(Error::unsupported("ALTER TABLE with modifiers", "write ALTER TABLE t ADD COLUMN c INT"));
    }
    let normalise = scope.core().state.config_options().sql_parser.enable_ident_normalization;
    let reference = object_name_to_table_reference(alter.name, normalise)?;
    let target = match alter.if_exists && scope.temp_name(&reference).is_none() {
        true => {
            let name = scope.table_name(&reference)?;
            name.check_creatable()?;
            name
        }
        false => affected::target(scope, &reference, VERB).await?,
    };
    let mut operations = alter.operations;
    let what = match operations.as_slice() {
        [AlterTableOperation::RenameTable { table_name }] => What::Name(new_name(scope, &target, table_name)?),
        _ => {
            let mut steps = Vec::new();
            for operation in operations.drain(..) {
                steps.extend(read(scope, operation).await?);
            }
            What::Columns(steps)
        }
    };
    Ok(Update::AlterTable(AlterTable { target, if_exists: alter.if_exists, what }))
}

/// Without a schema it stays in the one it is in.
fn new_name(scope: &Scope, target: &TableName, to: &RenameTableNameKind) -> Result<TableName> {
    let (RenameTableNameKind::To(name) | RenameTableNameKind::As(name)) = to;
    let normalise = scope.core().state.config_options().sql_parser.enable_ident_normalization;
    let reference = object_name_to_table_reference(name.clone(), normalise)?;
    let name = match reference.schema() {
        None => TableName::new(target.schema(), reference.table())?,
        Some(_) => scope.table_name(&reference)?,
    };
    name.check_creatable()?;
    Ok(name)
}

async fn read(scope: &Scope, operation: AlterTableOperation) -> Result<Vec<Step>> {
    let name = |ident: &Ident| name(scope, ident);
    Ok(match operation {
        AlterTableOperation::AddColumn { if_not_exists, column_def, column_position: None, .. } => {
            vec![add(scope, column_def, if_not_exists).await?]
        }
        AlterTableOperation::DropColumn { column_names, if_exists, drop_behavior, .. } => {
            let cascade = drop_behavior == Some(DropBehavior::Cascade);
            column_names.iter().map(|column| Step::Drop { name: name(column), if_exists, cascade }).collect()
        }
        AlterTableOperation::RenameColumn { old_column_name, new_column_name } => {
            vec![Step::Plain(Alteration::RenameColumn { from: name(&old_column_name), to: name(&new_column_name) })]
        }
        AlterTableOperation::AlterColumn { column_name, op } => vec![column(scope, name(&column_name), op).await?],
        AlterTableOperation::AddConstraint { constraint, .. } => {
            vec![Step::AddKey(keys::of_table(scope, &constraint)?)]
        }
        AlterTableOperation::DropConstraint { name: constraint, if_exists, .. } => {
            vec![Step::DropKey { name: name(&constraint), if_exists }]
        }
        AlterTableOperation::RenameTable { .. } => {
            return Err(Error::unsupported("RENAME TO with other changes", "send it as a statement of its own"));
        }
        other => return Err(unsupported(&other.to_string())),
    })
}

fn unsupported(operation: &str) -> Error {
    let words: Vec<_> = operation.split_whitespace().take(2).collect();
    Error::unsupported(
        format!("ALTER TABLE ... {}", words.join(" ").to_uppercase()),
        "there are ADD COLUMN, DROP COLUMN, RENAME COLUMN, RENAME TO, ALTER COLUMN (TYPE, DEFAULT, NOT NULL), ADD CONSTRAINT and \
         DROP CONSTRAINT",
    )
}

async fn add(scope: &Scope, mut definition: ColumnDef, if_not_exists: bool) -> Result<Step> {
    let keys = keys::of_column(scope, &mut definition)?;
    let known = |option: &ColumnOptionDef| {
        matches!(option.option, ColumnOption::Null | ColumnOption::NotNull | ColumnOption::Default(_))
    };
    if let Some(other) = definition.options.iter().find(|option| !known(option)) {
        return Err(unsupported(&format!("ADD COLUMN {} {other}", definition.name)));
    }
    definition.name = Ident::with_quote('"', name(scope, &definition.name));
    let (field, default) = define(scope, definition).await?;
    Ok(Step::Add { field, default, keys, if_not_exists })
}

async fn column(scope: &Scope, name: String, operation: AlterColumnOperation) -> Result<Step> {
    let definition =
        |data_type: SqlType, options| ColumnDef { name: Ident::with_quote('"', name.clone()), data_type, options };
    Ok(match operation {
        AlterColumnOperation::SetNotNull => Step::Plain(Alteration::SetNullable { name, nullable: false }),
        AlterColumnOperation::DropNotNull => Step::Plain(Alteration::SetNullable { name, nullable: true }),
        AlterColumnOperation::SetDataType { data_type, using: None, .. } => {
            let (field, _) = define(scope, definition(data_type, Vec::new())).await?;
            Step::Plain(Alteration::SetType { name, data_type: field.data_type().clone() })
        }
        AlterColumnOperation::SetDataType { .. } => {
            return Err(Error::unsupported(
                "ALTER COLUMN ... TYPE ... USING",
                "use CREATE OR REPLACE TABLE ... AS SELECT with the expression",
            ));
        }
        AlterColumnOperation::SetDefault { value } => Step::SetDefault { default: literal(scope, value).await?, name },
        AlterColumnOperation::DropDefault => Step::SetDefault { name, default: ScalarValue::Null },
        other => return Err(unsupported(&format!("ALTER COLUMN {other}"))),
    })
}

pub(super) fn name(scope: &Scope, ident: &Ident) -> String {
    match ident.quote_style {
        None if scope.core().state.config_options().sql_parser.enable_ident_normalization => ident.value.to_lowercase(),
        _ => ident.value.clone(),
    }
}

async fn literal(scope: &Scope, value: SqlExpr) -> Result<ScalarValue> {
    let options = vec![ColumnOptionDef { name: None, option: ColumnOption::Default(value) }];
    let definition = ColumnDef { name: Ident::with_quote('"', "c"), data_type: SqlType::Int(None), options };
    Ok(define(scope, definition).await?.1.unwrap_or(ScalarValue::Null))
}

/// What DataFusion makes of a column's definition: the column as it is stored, and its default.
async fn define(scope: &Scope, definition: ColumnDef) -> Result<(Field, Option<ScalarValue>)> {
    let mut create = sql::parse("CREATE TABLE c (c INT)")?;
    if let DfStatement::Statement(statement) = &mut create
        && let Statement::CreateTable(create) = statement.as_mut()
    {
        create.columns = vec![definition];
    }
    let LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(planned)) = scope.plan(create).await? else {
        return Err(Error::Invalid("the column could not be planned".to_owned()));
    };
    let schema = conform::stored_schema(planned.input.schema().as_arrow())?;
    let default = planned.column_defaults.into_iter().next().map(|(name, expr)| constant(scope, &name, expr));
    Ok((schema.field(0).clone(), default.transpose()?))
}

/// The value of an expression that is the same whenever it is asked for.
pub(super) fn constant(scope: &Scope, column: &str, expr: Expr) -> Result<ScalarValue> {
    let schema = DFSchema::empty();
    let context = SimplifyContext::builder().with_config_options(scope.core().state.config_options().clone()).build();
    let simplifier = ExprSimplifier::new(context);
    match simplifier.simplify(simplifier.coerce(expr, &schema)?)? {
        Expr::Literal(value, _) => Ok(value),
        other => Err(Error::unsupported(
            format!("the default {other} of column '{column}'"),
            "a default is a constant; give other values in every INSERT",
        )),
    }
}

/// A default as the catalog keeps it; `None` for null.
pub(super) fn default_text(value: &ScalarValue, column: &str, data_type: &DataType) -> Result<Option<String>> {
    let wrong = |error| Error::Invalid(format!("the default {value} of column '{column}' is no {data_type}: {error}"));
    let array: ArrayRef = value.cast_to(data_type).and_then(|value| value.to_array_of_size(1)).map_err(wrong)?;
    Ok(value_text(&array)?)
}

impl AlterTable {
    pub(super) async fn run(&self, running: &Running<'_>) -> Result<UpdateCount> {
        let (catalog, actor) = (running.session.catalog(), running.session.actor());
        if self.if_exists && catalog.resolve_opt(&self.target).await?.is_none() {
            return Ok(UpdateCount::default());
        }
        let dataset = affected::dataset(running.session, &self.target, VERB).await?;
        match &self.what {
            What::Name(to) => catalog.rename(&self.target, to, &actor).await?,
            What::Columns(steps) => columns(running, &dataset, steps).await?,
        }
        Ok(UpdateCount::default())
    }
}

async fn columns(running: &Running<'_>, dataset: &Dataset, steps: &[Step]) -> Result<()> {
    let snapshot = dataset.snapshot(At::Latest).await?;
    let mut known = Known::of(&snapshot);
    let mut alterations = Vec::new();
    for step in steps {
        let Some(alteration) = known.resolve(step)? else {
            continue;
        };
        alterations.extend(alteration);
        for spec in step.keys() {
            alterations.push(known.key(running, dataset, spec).await?);
        }
    }
    if alterations.is_empty() {
        return Ok(());
    }
    for column in &known.tightened {
        nulls::check(running, dataset, &snapshot, column).await?;
    }
    let without_nulls = match known.tightened.is_empty() {
        true => HashSet::new(),
        false => snapshot.files.iter().map(|file| file.id).collect(),
    };
    let alter = Alter { steps: alterations, schema_id: snapshot.schema_id, without_nulls };
    let change = Change { operation: Operation::Alter, alter: Some(alter), ..Change::append(Vec::new()) };
    commit(dataset, change, running).await
}

/// The columns as they are between two steps.
struct Known {
    /// The type of each, and its name before the statement if it was there.
    columns: HashMap<String, (DataType, Option<String>)>,
    keys: Vec<Key>,
    /// Columns, by their names before the statement, that allow no nulls any more.
    tightened: Vec<String>,
}

impl Known {
    fn of(snapshot: &Snapshot) -> Self {
        let column = |field: &std::sync::Arc<Field>| {
            let name = field.name().clone();
            (name.clone(), (field.data_type().clone(), Some(name)))
        };
        Self {
            columns: snapshot.schema.fields().iter().map(column).collect(),
            keys: table_notes(&snapshot.schema).keys,
            tightened: Vec::new(),
        }
    }

    async fn key(&mut self, running: &Running<'_>, dataset: &Dataset, spec: &KeySpec) -> Result<Alteration> {
        let mut new = keys::resolve(running, dataset.name(), &self.keys, std::slice::from_ref(spec)).await?;
        let key =
            new.pop().ok_or_else(|| Error::Invalid("a key was lost; this is a defect of the server".to_owned()))?;
        if spec.is_primary() {
            spec.columns.iter().for_each(|column| self.tighten(column));
        }
        // So that the next one gets another name.
        self.keys.push(Key { name: key.name.clone(), kind: key.kind, columns: Vec::new(), references: None });
        Ok(Alteration::AddKey(key))
    }

    /// What a step is besides keys; the outer `None`: it is left out.
    fn resolve(&mut self, step: &Step) -> Result<Option<Option<Alteration>>> {
        Ok(Some(Some(match step {
            Step::Add { field, if_not_exists, .. } if *if_not_exists && self.columns.contains_key(field.name()) => {
                return Ok(None);
            }
            Step::Add { field, default, .. } => {
                let text = match default {
                    Some(value) => default_text(value, field.name(), field.data_type())?,
                    None => None,
                };
                self.columns.insert(field.name().clone(), (field.data_type().clone(), None));
                Alteration::AddColumn { field: field.clone(), default: text }
            }
            Step::Drop { name, if_exists: true, .. } if !self.columns.contains_key(name) => return Ok(None),
            Step::Drop { name, cascade, .. } => {
                self.columns.remove(name);
                Alteration::DropColumn { name: name.clone(), cascade: *cascade }
            }
            Step::SetDefault { name, default } => {
                let default = match self.columns.get(name) {
                    Some((data_type, _)) => default_text(default, name, data_type)?,
                    // The catalog says what is wrong.
                    None => None,
                };
                Alteration::SetDefault { name: name.clone(), default }
            }
            Step::DropKey { name, if_exists } => {
                let before = self.keys.len();
                self.keys.retain(|key| key.name != *name);
                if *if_exists && self.keys.len() == before {
                    return Ok(None);
                }
                Alteration::DropKey(name.clone())
            }
            Step::AddKey(_) => return Ok(Some(None)),
            Step::Plain(alteration) => {
                self.follow(alteration);
                alteration.clone()
            }
        })))
    }

    fn follow(&mut self, alteration: &Alteration) {
        match alteration {
            Alteration::RenameColumn { from, to } => {
                if let Some(column) = self.columns.remove(from) {
                    self.columns.insert(to.clone(), column);
                }
            }
            Alteration::SetType { name, data_type } => {
                if let Some(column) = self.columns.get_mut(name) {
                    column.0 = data_type.clone();
                }
            }
            Alteration::SetNullable { name, nullable: false } => self.tighten(name),
            _ => {}
        }
    }

    fn tighten(&mut self, name: &str) {
        self.tightened.extend(self.columns.get(name).and_then(|(_, before)| before.clone()));
    }
}

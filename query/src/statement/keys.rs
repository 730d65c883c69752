//! `PRIMARY KEY`, `UNIQUE` and `FOREIGN KEY`: from the statement to what the catalog keeps. Keys are declared and not enforced.

use std::collections::HashSet;

use datafusion::{
    common::TableReference,
    sql::{
        planner::object_name_to_table_reference,
        sqlparser::ast::{
            ColumnDef, ColumnOption, ConstraintCharacteristics, ConstraintReferenceMatchKind, Expr as SqlExpr,
            ForeignKeyConstraint, Ident, IndexColumn, NullsDistinctOption, ReferentialAction, TableConstraint,
        },
    },
};
use skein_catalog::{
    At, Dataset, Key, KeyKind, NewKey, NewReference, ReferredColumns, Rule, Snapshot, check_referable, field_id,
    table_notes,
};
use skein_model::TableName;

use super::{Running, affected, alter_table::name};
use crate::{Error, Result, names::Scope};

/// Longest name of a key, in bytes.
const MAX_NAME: usize = 255;
/// Up to where names that are made up are made of the columns' names.
const MAX_MADE_UP: usize = 200;

/// A key as the statement has it.
#[derive(Debug, Clone)]
pub(super) struct KeySpec {
    name: Option<String>,
    kind: KeyKind,
    pub(super) columns: Vec<String>,
    references: Option<ReferenceSpec>,
}

#[derive(Debug, Clone)]
struct ReferenceSpec {
    table: TableName,
    /// None: its primary key.
    columns: Vec<String>,
    on_update: Rule,
    on_delete: Rule,
}

impl KeySpec {
    pub(super) fn is_primary(&self) -> bool {
        self.kind == KeyKind::Primary
    }
}

/// Takes the keys out of a column's options. DataFusion, which plans the rest, would take them for granted.
pub(super) fn of_column(scope: &Scope, column: &mut ColumnDef) -> Result<Vec<KeySpec>> {
    let mut keys = Vec::new();
    let mut others = Vec::new();
    for option in std::mem::take(&mut column.options) {
        let (given, columns) = (option.name.clone(), vec![name(scope, &column.name)]);
        let spec = |own: &Option<Ident>, kind, references| KeySpec {
            name: own.as_ref().or(given.as_ref()).map(|ident| name(scope, ident)),
            kind,
            columns: columns.clone(),
            references,
        };
        match &option.option {
            ColumnOption::PrimaryKey(key) => {
                check(key.characteristics.as_ref())?;
                keys.push(spec(&key.name, KeyKind::Primary, None));
            }
            ColumnOption::Unique(key) => {
                check(key.characteristics.as_ref())?;
                keys.push(spec(&key.name, KeyKind::Unique, None));
            }
            ColumnOption::ForeignKey(key) => keys.push(spec(&key.name, KeyKind::Foreign, Some(reference(scope, key)?))),
            ColumnOption::Check(_) => return Err(no_checks()),
            _ => others.push(option),
        }
    }
    column.options = others;
    Ok(keys)
}

/// A key that is written beside the columns.
pub(super) fn of_table(scope: &Scope, constraint: &TableConstraint) -> Result<KeySpec> {
    let named = |ident: &Option<Ident>| ident.as_ref().map(|ident| name(scope, ident));
    let key = match constraint {
        TableConstraint::PrimaryKey(key) if key.index_options.is_empty() => {
            check(key.characteristics.as_ref())?;
            let columns = indexed(scope, &key.columns)?;
            KeySpec { name: named(&key.name), kind: KeyKind::Primary, columns, references: None }
        }
        TableConstraint::Unique(key)
            if key.index_options.is_empty() && key.nulls_distinct != NullsDistinctOption::NotDistinct =>
        {
            check(key.characteristics.as_ref())?;
            let columns = indexed(scope, &key.columns)?;
            KeySpec { name: named(&key.name), kind: KeyKind::Unique, columns, references: None }
        }
        TableConstraint::ForeignKey(key) => {
            let columns = key.columns.iter().map(|ident| name(scope, ident)).collect();
            let references = Some(reference(scope, key)?);
            KeySpec { name: named(&key.name), kind: KeyKind::Foreign, columns, references }
        }
        TableConstraint::Check(_) => return Err(no_checks()),
        other => {
            return Err(Error::unsupported(
                format!("the constraint {other}"),
                "there are PRIMARY KEY (...), UNIQUE (...) and FOREIGN KEY (...) REFERENCES ... (...)",
            ));
        }
    };
    match key.name.as_ref().filter(|name| name.len() > MAX_NAME || name.is_empty()) {
        None => Ok(key),
        Some(_) => Err(Error::Invalid(format!("the name of a constraint has 1 to {MAX_NAME} bytes"))),
    }
}

fn no_checks() -> Error {
    Error::unsupported("CHECK constraints", "leave them out, and check the rows in the query that inserts them")
}

fn check(characteristics: Option<&ConstraintCharacteristics>) -> Result<()> {
    match characteristics {
        Some(of) if of.enforced == Some(true) => Err(Error::unsupported(
            "ENFORCED keys",
            "write NOT ENFORCED, or leave it out: keys say what the data means",
        )),
        Some(of) if of.deferrable == Some(true) || of.initially.is_some() => {
            Err(Error::unsupported("DEFERRABLE keys", "leave it out: keys are not enforced"))
        }
        _ => Ok(()),
    }
}

fn indexed(scope: &Scope, columns: &[IndexColumn]) -> Result<Vec<String>> {
    let column = |column: &IndexColumn| match &column.column.expr {
        SqlExpr::Identifier(ident) => Ok(name(scope, ident)),
        other => Err(Error::Invalid(format!("{other} is no column; a key is a list of columns"))),
    };
    columns.iter().map(column).collect()
}

fn reference(scope: &Scope, key: &ForeignKeyConstraint) -> Result<ReferenceSpec> {
    check(key.characteristics.as_ref())?;
    if key.match_kind.as_ref().is_some_and(|kind| *kind != ConstraintReferenceMatchKind::Simple) {
        return Err(Error::unsupported("MATCH FULL and MATCH PARTIAL", "leave it out"));
    }
    let normalise = scope.core().state.config_options().sql_parser.enable_ident_normalization;
    let table: TableReference = object_name_to_table_reference(key.foreign_table.clone(), normalise)?;
    if scope.temp_name(&table).is_some() {
        return Err(Error::unsupported("foreign keys to temporary tables", "leave them out"));
    }
    Ok(ReferenceSpec {
        table: scope.table_name(&table)?,
        columns: key.referred_columns.iter().map(|ident| name(scope, ident)).collect(),
        on_update: rule(key.on_update.as_ref()),
        on_delete: rule(key.on_delete.as_ref()),
    })
}

fn rule(action: Option<&ReferentialAction>) -> Rule {
    match action {
        Some(ReferentialAction::Cascade) => Rule::Cascade,
        Some(ReferentialAction::Restrict) => Rule::Restrict,
        Some(ReferentialAction::SetNull) => Rule::SetNull,
        Some(ReferentialAction::SetDefault) => Rule::SetDefault,
        Some(ReferentialAction::NoAction) | None => Rule::NoAction,
    }
}

/// What the specs mean for table `own`, which may have keys already: names are given, and tables that are referred to are looked up.
pub(super) async fn resolve(
    running: &Running<'_>,
    own: &TableName,
    there: &[Key],
    specs: &[KeySpec],
) -> Result<Vec<NewKey>> {
    let mut taken: HashSet<String> = there.iter().map(|key| key.name.clone()).collect();
    taken.extend(specs.iter().filter_map(|spec| spec.name.clone()));
    let mut keys = Vec::with_capacity(specs.len());
    for spec in specs {
        let name = match &spec.name {
            Some(name) => name.clone(),
            None => made_up(own, spec, &taken),
        };
        taken.insert(name.clone());
        let references = match &spec.references {
            None => None,
            Some(reference) => Some(NewReference {
                to: referred(running, own, reference).await?,
                on_update: reference.on_update,
                on_delete: reference.on_delete,
            }),
        };
        keys.push(NewKey { name, kind: spec.kind, columns: spec.columns.clone(), references });
    }
    Ok(keys)
}

/// As PostgreSQL names them.
fn made_up(own: &TableName, spec: &KeySpec, taken: &HashSet<String>) -> String {
    let (columns, ending) = match spec.kind {
        KeyKind::Primary => (String::new(), "pkey"),
        KeyKind::Unique => (format!("_{}", spec.columns.join("_")), "key"),
        KeyKind::Foreign => (format!("_{}", spec.columns.join("_")), "fkey"),
    };
    let mut base = format!("{}{columns}", own.table());
    while base.len() > MAX_MADE_UP {
        base.pop();
    }
    let plain = format!("{base}_{ending}");
    let numbered = (1_u32..).map(|number| format!("{plain}{number}"));
    std::iter::once(plain.clone()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or(plain)
}

async fn referred(running: &Running<'_>, own: &TableName, reference: &ReferenceSpec) -> Result<ReferredColumns> {
    if reference.table == *own {
        return Ok(ReferredColumns::Own(reference.columns.clone()));
    }
    let dataset: Dataset = affected::dataset(running.session, &reference.table, "a foreign key").await?;
    let snapshot = dataset.snapshot(At::Latest).await?;
    let keys = table_notes(&snapshot.schema).keys;
    let columns = match reference.columns.is_empty() {
        true => {
            let primary = keys.into_iter().find(|key| key.kind == KeyKind::Primary);
            let none =
                || Error::Invalid(format!("'{}' has no primary key to refer to; name the columns", reference.table));
            primary.ok_or_else(none)?.columns
        }
        false => {
            let columns = ids(&snapshot, &reference.table, &reference.columns)?;
            check_referable(&keys, &columns)?;
            columns
        }
    };
    Ok(ReferredColumns::Of(dataset.id(), columns))
}

fn ids(snapshot: &Snapshot, table: &TableName, names: &[String]) -> Result<Vec<i32>> {
    let id = |name: &String| {
        let field = snapshot.schema.field_with_name(name).ok();
        field.and_then(field_id).ok_or_else(|| Error::NotFound(format!("column '{name}' does not exist in '{table}'")))
    };
    names.iter().map(id).collect()
}

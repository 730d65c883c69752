//! The declared keys of tables, with names in place of ids.

use std::{collections::HashMap, sync::Arc};

use skein_catalog::{At, Dataset, Entry, Key, KeyKind, Reference, Rule, Snapshot, field_id, table_notes};
use skein_model::{DatasetId, TableName};

use crate::{Result, Session};

/// The standard's name of a sort of key.
pub(crate) const fn kind_name(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Primary => "PRIMARY KEY",
        KeyKind::Unique => "UNIQUE",
        KeyKind::Foreign => "FOREIGN KEY",
    }
}

/// A rule as it is written after `ON DELETE`.
pub(crate) const fn rule_name(rule: Rule) -> &'static str {
    match rule {
        Rule::Cascade => "CASCADE",
        Rule::Restrict => "RESTRICT",
        Rule::SetNull => "SET NULL",
        Rule::NoAction => "NO ACTION",
        Rule::SetDefault => "SET DEFAULT",
    }
}

/// A declared key. It is not enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredKey {
    /// The table it is declared for.
    pub table: TableName,
    /// Its name.
    pub name: String,
    /// What sort.
    pub kind: KeyKind,
    /// Its columns, in order.
    pub columns: Vec<String>,
    /// What a foreign key refers to.
    pub references: Option<DeclaredReference>,
}

/// What a foreign key refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredReference {
    /// The table.
    pub table: TableName,
    /// Its columns, one for each of the key's.
    pub columns: Vec<String>,
    /// The primary or unique key of these columns, if it is still declared.
    pub key: Option<String>,
    /// `ON UPDATE`.
    pub on_update: Rule,
    /// `ON DELETE`.
    pub on_delete: Rule,
}

impl Session {
    /// The keys of all tables that `wanted` chooses. A foreign key to a table or columns that are gone is left out, as is a table that cannot be
    /// read.
    ///
    /// # Errors
    /// When the names cannot be read.
    pub async fn keys(&self, wanted: impl Fn(&TableName) -> bool + Send) -> Result<Vec<DeclaredKey>> {
        let mut tables = HashMap::new();
        let mut chosen = Vec::new();
        for (name, entry) in self.catalog().entries().await? {
            let Entry::Dataset(dataset) = entry else { continue };
            if wanted(&name) {
                chosen.push(dataset.id());
            }
            tables.insert(dataset.id(), Table { name, dataset, snapshot: None });
        }
        let mut keys = Vec::new();
        for id in chosen {
            let Some(snapshot) = snapshot(&mut tables, id).await else { continue };
            let Some(own) = tables.get(&id).map(|table| table.name.clone()) else { continue };
            for key in table_notes(&snapshot.schema).keys {
                keys.extend(declared(&mut tables, (id, &own), &snapshot, key).await);
            }
        }
        Ok(keys)
    }
}

struct Table {
    name: TableName,
    dataset: Dataset,
    snapshot: Option<Arc<Snapshot>>,
}

async fn snapshot(tables: &mut HashMap<DatasetId, Table>, id: DatasetId) -> Option<Arc<Snapshot>> {
    let table = tables.get_mut(&id)?;
    if table.snapshot.is_none() {
        match table.dataset.snapshot(At::Latest).await {
            Ok(snapshot) => table.snapshot = Some(snapshot),
            Err(error) => tracing::warn!(dataset = %table.name, %error, "its keys are left out"),
        }
    }
    table.snapshot.clone()
}

async fn declared(
    tables: &mut HashMap<DatasetId, Table>,
    (id, own): (DatasetId, &TableName),
    columns_of: &Snapshot,
    key: Key,
) -> Option<DeclaredKey> {
    let references = match key.references {
        None => None,
        Some(reference) => Some(referred(tables, id, reference).await?),
    };
    let columns = names(columns_of, &key.columns)?;
    Some(DeclaredKey { table: own.clone(), name: key.name, kind: key.kind, columns, references })
}

async fn referred(
    tables: &mut HashMap<DatasetId, Table>,
    own: DatasetId,
    reference: Reference,
) -> Option<DeclaredReference> {
    let id = reference.dataset.unwrap_or(own);
    let snapshot = snapshot(tables, id).await?;
    let sorted = |columns: &[i32]| {
        let mut columns = columns.to_vec();
        columns.sort_unstable();
        columns
    };
    let same = |key: &Key| key.kind != KeyKind::Foreign && sorted(&key.columns) == sorted(&reference.columns);
    let key = table_notes(&snapshot.schema).keys.into_iter().find(same);
    Some(DeclaredReference {
        table: tables.get(&id)?.name.clone(),
        columns: names(&snapshot, &reference.columns)?,
        key: key.map(|key| key.name),
        on_update: reference.on_update,
        on_delete: reference.on_delete,
    })
}

fn names(snapshot: &Snapshot, ids: &[i32]) -> Option<Vec<String>> {
    let name = |id: &i32| {
        let field = snapshot.schema.fields().iter().find(|field| field_id(field) == Some(*id));
        field.map(|field| field.name().clone())
    };
    ids.iter().map(name).collect()
}

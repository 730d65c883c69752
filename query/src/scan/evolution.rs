//! Files that were written before the columns of their dataset changed: columns are matched by field id, narrower values are cast, and
//! columns that a file does not have are filled. The file itself stays as it is.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::{
    common::tree_node::{Transformed, TransformedResult, TreeNode},
    error::Result as DfResult,
    logical_expr::{Expr, lit},
    physical_expr::expressions::Column,
    physical_expr_adapter::{
        DefaultPhysicalExprAdapter, PhysicalExprAdapter, PhysicalExprAdapterFactory, replace_columns_with_literals,
    },
    physical_plan::PhysicalExpr,
    scalar::ScalarValue,
};
use skein_catalog::{Snapshot, column_notes, field_id, parse_value};

/// What is known about one column of a snapshot beside its type.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) id: Option<i32>,
    /// Files of schemas before this one do not have it.
    pub(super) added: u32,
    /// What it is in those; null where it was given no default.
    pub(super) initial: ScalarValue,
    /// Bounds of files of schemas before this one are not comparable.
    pub(super) rescaled: u32,
}

/// The columns of a snapshot; `schema` has them with the engine's types.
pub(super) fn sources(snapshot: &Snapshot, schema: &Schema) -> DfResult<Vec<Source>> {
    let source = |(stored, field): (&Arc<Field>, &Arc<Field>)| {
        let notes = column_notes(stored);
        let initial = value(notes.initial.as_deref(), stored, field)?;
        Ok(Source { id: field_id(stored), added: notes.added, initial, rescaled: notes.rescaled })
    };
    snapshot.schema.fields().iter().zip(schema.fields()).map(source).collect()
}

/// What columns are in new rows that do not give them, where that is not null.
pub(super) fn defaults(snapshot: &Snapshot, schema: &Schema) -> DfResult<HashMap<String, Expr>> {
    let mut defaults = HashMap::new();
    for (stored, field) in snapshot.schema.fields().iter().zip(schema.fields()) {
        let notes = column_notes(stored);
        if notes.default.is_some() {
            let value = value(notes.default.as_deref(), stored, field)?;
            defaults.insert(field.name().clone(), lit(value));
        }
    }
    Ok(defaults)
}

fn value(text: Option<&str>, stored: &Field, field: &Field) -> DfResult<ScalarValue> {
    let Some(text) = text else { return ScalarValue::try_new_null(field.data_type()) };
    let value = parse_value(text, stored.data_type()).map_err(crate::Error::from)?;
    ScalarValue::try_from_array(&value, 0)?.cast_to(field.data_type())
}

/// How the files of one snapshot are read: its columns by field id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Evolution(BTreeMap<i32, Evolved>);

/// A column of the table, as files of all ages have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Evolved {
    pub(crate) name: String,
    /// What it is in files that do not have it, of the table's type.
    pub(crate) missing: ScalarValue,
}

impl Evolution {
    /// `None` when every file has the columns as they are now.
    pub(super) fn of(snapshot: &Snapshot, schema: &Schema, sources: &[Source]) -> Option<Arc<Self>> {
        if snapshot.files.iter().all(|file| file.schema_id == snapshot.schema_id) {
            return None;
        }
        let column = |(field, source): (&Arc<Field>, &Source)| {
            Some((source.id?, Evolved { name: field.name().clone(), missing: source.initial.clone() }))
        };
        Some(Arc::new(schema.fields().iter().zip(sources).filter_map(column).collect()))
    }

    /// The columns, by field id.
    pub(crate) fn columns(&self) -> impl Iterator<Item = (i32, &Evolved)> {
        self.0.iter().map(|(id, column)| (*id, column))
    }
}

impl FromIterator<(i32, Evolved)> for Evolution {
    fn from_iter<T: IntoIterator<Item = (i32, Evolved)>>(columns: T) -> Self {
        Self(columns.into_iter().collect())
    }
}

impl PhysicalExprAdapterFactory for Evolution {
    fn create(&self, table: SchemaRef, file: SchemaRef) -> DfResult<Arc<dyn PhysicalExprAdapter>> {
        let mut found = HashSet::new();
        let field = |(index, field): (usize, &Arc<Field>)| {
            let id = field_id(field);
            found.extend(id);
            match id.and_then(|id| self.0.get(&id)) {
                Some(column) => field.as_ref().clone().with_name(&column.name),
                // No column is called so.
                None => field.as_ref().clone().with_name(format!("\0{index}")),
            }
        };
        let renamed: Vec<_> = file.fields().iter().enumerate().map(field).collect();
        let missing = self.columns().filter(|(id, _)| !found.contains(id));
        let missing = missing.map(|(_, column)| (column.name.clone(), column.missing.clone())).collect();
        Ok(Arc::new(Adapter {
            by_name: DefaultPhysicalExprAdapter::new(table, Arc::new(Schema::new(renamed))),
            missing,
            file,
        }))
    }
}

/// Rewrites expressions over the table's columns to ones over a file's.
#[derive(Debug)]
struct Adapter {
    /// Over the file's columns, as if they had the table's names.
    by_name: DefaultPhysicalExprAdapter,
    missing: HashMap<String, ScalarValue>,
    file: SchemaRef,
}

impl PhysicalExprAdapter for Adapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> DfResult<Arc<dyn PhysicalExpr>> {
        let filled = replace_columns_with_literals(expr, &self.missing)?;
        let adapted = self.by_name.rewrite(filled)?;
        // Row groups and pages are chosen by the names in the file.
        let named = |expr: Arc<dyn PhysicalExpr>| match expr.downcast_ref::<Column>() {
            Some(column) => {
                let name = self.file.field(column.index()).name();
                Ok(Transformed::yes(Arc::new(Column::new(name, column.index())) as Arc<dyn PhysicalExpr>))
            }
            None => Ok(Transformed::no(expr)),
        };
        adapted.transform(named).data()
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;
    use datafusion::physical_expr::expressions::col;

    use super::*;

    fn field(name: &str, data_type: DataType, id: i32) -> Field {
        let id = (skein_catalog::FIELD_ID_KEY.to_owned(), id.to_string());
        Field::new(name, data_type, true).with_metadata([id].into())
    }

    #[test]
    fn columns_are_found_by_id_and_not_by_name() {
        let table = Arc::new(Schema::new(vec![
            Field::new("b", DataType::Int64, true),
            Field::new("a", DataType::Int32, true),
            Field::new("new", DataType::Int32, true),
        ]));
        // What is called b now was called a, and there was another b.
        let file = Arc::new(Schema::new(vec![field("b", DataType::Int32, 9), field("a", DataType::Int32, 1)]));
        let columns = [(1, "b", None), (2, "a", None), (3, "new", Some(7))];
        let evolved = |name: &str, value| Evolved { name: name.to_owned(), missing: ScalarValue::Int32(value) };
        let evolution: Evolution = columns.into_iter().map(|(id, name, value)| (id, evolved(name, value))).collect();
        let adapter = evolution.create(Arc::clone(&table), file).unwrap();
        let adapted = |name: &str| adapter.rewrite(col(name, &table).unwrap()).unwrap().to_string();
        assert_eq!(adapted("b"), "CAST(a@1 AS Int64)");
        assert_eq!((adapted("a").as_str(), adapted("new").as_str()), ("NULL", "7"));
    }
}

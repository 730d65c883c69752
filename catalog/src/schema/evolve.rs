//! Changes of columns that leave the files as they are.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};

use super::{
    ColumnNotes, NewKey, TableNotes, assign, column_notes, field_id, keys, notes::parse_value, table_notes, type_name,
    validate, widen::widening, with_column_notes, with_table_notes,
};
use crate::{Error, Result};

/// One step of `ALTER TABLE`.
#[derive(Debug, Clone, PartialEq)]
pub enum Alteration {
    /// A new column, after the others.
    AddColumn {
        /// Its name, type and nullability.
        field: Field,
        /// Its value in the rows that are there and in new rows that do not give it, as a text of [`crate::value_text`];
        /// `None`: null.
        default: Option<String>,
    },
    /// A column goes.
    DropColumn {
        /// Its name.
        name: String,
        /// Keys that it is in go, too.
        cascade: bool,
    },
    /// A column gets another name.
    RenameColumn {
        /// The name it has.
        from: String,
        /// The name it gets.
        to: String,
    },
    /// A column gets a type that holds all its values.
    SetType {
        /// Its name.
        name: String,
        /// The type.
        data_type: DataType,
    },
    /// A column allows nulls, or no more.
    SetNullable {
        /// Its name.
        name: String,
        /// Whether it does.
        nullable: bool,
    },
    /// What a column is in new rows that do not give it.
    SetDefault {
        /// Its name.
        name: String,
        /// As for [`Alteration::AddColumn`].
        default: Option<String>,
    },
    /// A key is declared.
    AddKey(NewKey),
    /// A key is declared no more.
    DropKey(String),
}

/// A schema after some steps, and what the rows must be like for it.
#[derive(Debug, Clone)]
pub(crate) struct Evolved {
    pub(crate) schema: SchemaRef,
    pub(crate) last_field_id: i32,
    /// Old files are not read as they are: readers have to know.
    pub(crate) adapts_files: bool,
    /// There must be no rows, because this column would be null in them.
    pub(crate) needs_no_rows: Option<String>,
    /// These columns become NOT NULL.
    pub(crate) tightened: Vec<i32>,
    /// Integers of these columns are multiplied.
    pub(crate) multiplied: Vec<(i32, i64)>,
}

/// What `steps` make of a dataset's schema. `number` is the one it has, `last_field_id` the highest id ever given.
///
/// # Errors
/// [`Error::NotFound`], [`Error::AlreadyExists`] and [`Error::InvalidInput`] for steps that cannot be taken.
pub(crate) fn evolve(schema: &Schema, number: u32, last_field_id: i32, steps: &[Alteration]) -> Result<Evolved> {
    let mut notes = table_notes(schema);
    if notes.altered_from == 0 {
        notes.altered_from = number;
    }
    let mut work = Work {
        fields: schema.fields().to_vec(),
        notes,
        next: number + 1,
        last_field_id,
        adapts_files: false,
        needs_no_rows: None,
        tightened: Vec::new(),
        multiplied: Vec::new(),
    };
    for step in steps {
        work.take(step)?;
    }
    let evolved = Schema::new_with_metadata(work.fields, schema.metadata().clone());
    let evolved = with_table_notes(&evolved, &work.notes);
    validate(&evolved)?;
    Ok(Evolved {
        schema: Arc::new(evolved),
        last_field_id: work.last_field_id,
        adapts_files: work.adapts_files,
        needs_no_rows: work.needs_no_rows,
        tightened: work.tightened,
        multiplied: work.multiplied,
    })
}

struct Work {
    fields: Vec<FieldRef>,
    notes: TableNotes,
    /// The number of the schema that is being made.
    next: u32,
    last_field_id: i32,
    adapts_files: bool,
    needs_no_rows: Option<String>,
    tightened: Vec<i32>,
    multiplied: Vec<(i32, i64)>,
}

impl Work {
    fn take(&mut self, step: &Alteration) -> Result<()> {
        match step {
            Alteration::AddColumn { field, default } => self.add(field, default.as_deref()),
            Alteration::DropColumn { name, cascade } => self.drop(name, *cascade),
            Alteration::RenameColumn { from, to } => self.rename(from, to),
            Alteration::SetType { name, data_type } => self.set_type(name, data_type),
            Alteration::SetNullable { name, nullable } => self.set_nullable(name, *nullable),
            Alteration::SetDefault { name, default } => self.set_default(name, default.clone()),
            Alteration::AddKey(key) => {
                for id in keys::add(&mut self.fields, &mut self.notes, key)? {
                    self.tighten(id);
                }
                Ok(())
            }
            Alteration::DropKey(name) => self.drop_key(name),
        }
    }

    fn find(&self, name: &str) -> Result<usize> {
        self.fields.iter().position(|field| field.name() == name).ok_or_else(|| {
            let columns: Vec<_> = self.fields.iter().take(50).map(|field| field.name().as_str()).collect();
            let hint = format!("; the table's columns are: {}", columns.join(", "));
            Error::NotFound { what: "column", name: name.to_owned(), hint }
        })
    }

    fn field(&self, name: &str) -> Result<(usize, i32, ColumnNotes)> {
        let index = self.find(name)?;
        let field = &self.fields[index];
        let id = field_id(field).ok_or_else(|| Error::Internal(format!("column '{name}' has no field id")))?;
        Ok((index, id, column_notes(field)))
    }

    fn put(&mut self, index: usize, field: &Field, notes: &ColumnNotes) {
        self.fields[index] = Arc::new(with_column_notes(field, notes));
    }

    /// The name must be free, and no file may be read wrongly for it: the Parquet reader matches some types by name before
    /// it is told which column is which.
    fn check_name(&self, name: &str, data_type: &DataType) -> Result<()> {
        if self.fields.iter().any(|field| field.name() == name) {
            return Err(Error::AlreadyExists { what: "column", name: name.to_owned() });
        }
        let is_text = matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let had_it = |field: &&FieldRef| column_notes(field).formerly.iter().any(|former| former == name);
        match self.fields.iter().find(had_it).filter(|_| is_text) {
            Some(field) => Err(Error::InvalidInput(format!(
                "column '{}' holds bytes and was called '{name}' before, so no text column can be; choose another name, or \
                 compact the table by CREATE OR REPLACE TABLE ... AS SELECT first",
                field.name()
            ))),
            None => Ok(()),
        }
    }

    fn add(&mut self, field: &Field, default: Option<&str>) -> Result<()> {
        self.check_name(field.name(), field.data_type())?;
        if let Some(text) = default {
            parse_value(text, field.data_type())?;
        }
        if !field.is_nullable() && default.is_none() {
            self.needs_no_rows = Some(field.name().clone());
        }
        let assigned = assign(&Schema::new(vec![field.clone()]), None, self.last_field_id);
        self.last_field_id = assigned.last_field_id;
        let default = default.map(str::to_owned);
        let notes = ColumnNotes { added: self.next, initial: default.clone(), default, ..ColumnNotes::default() };
        self.fields.push(Arc::new(with_column_notes(assigned.schema.field(0), &notes)));
        self.adapts_files = true;
        Ok(())
    }

    fn drop(&mut self, name: &str, cascade: bool) -> Result<()> {
        let (index, id, _) = self.field(name)?;
        if self.fields.len() == 1 {
            return Err(Error::InvalidInput(format!("'{name}' is the only column; drop the table instead")));
        }
        let has = |key: &super::Key| {
            let own = key.references.as_ref().filter(|reference| reference.dataset.is_none());
            key.columns.contains(&id) || own.is_some_and(|reference| reference.columns.contains(&id))
        };
        match self.notes.keys.iter().find(|key| has(key)) {
            Some(key) if !cascade => {
                return Err(Error::InvalidInput(format!(
                    "column '{name}' is in constraint '{}'; drop that first, or write DROP COLUMN ... CASCADE",
                    key.name
                )));
            }
            _ => self.notes.keys.retain(|key| !has(key)),
        }
        self.fields.remove(index);
        self.tightened.retain(|other| *other != id);
        self.multiplied.retain(|(other, _)| *other != id);
        if self.needs_no_rows.as_deref() == Some(name) {
            self.needs_no_rows = None;
        }
        self.adapts_files = true;
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let (index, _, mut notes) = self.field(from)?;
        let field = self.fields[index].as_ref().clone();
        self.check_name(to, field.data_type())?;
        if matches!(field.data_type(), DataType::Binary | DataType::LargeBinary | DataType::BinaryView) {
            notes.formerly.push(from.to_owned());
        }
        if self.needs_no_rows.as_deref() == Some(from) {
            self.needs_no_rows = Some(to.to_owned());
        }
        self.put(index, &field.with_name(to), &notes);
        self.adapts_files = true;
        Ok(())
    }

    fn set_type(&mut self, name: &str, data_type: &DataType) -> Result<()> {
        let (index, id, mut notes) = self.field(name)?;
        let field = self.fields[index].as_ref().clone();
        if field.data_type().equals_datatype(data_type) {
            return Ok(());
        }
        let widening = widening(field.data_type(), data_type).ok_or_else(|| {
            Error::InvalidInput(format!(
                "column '{name}' is {} and cannot become {} without reading all its files, because values could be lost; \
                 use CREATE OR REPLACE TABLE ... AS SELECT CAST(...)",
                type_name(field.data_type()),
                type_name(data_type)
            ))
        })?;
        for text in [&notes.initial, &notes.default].into_iter().flatten() {
            parse_value(text, data_type)?;
        }
        notes.typed = self.next;
        if !widening.keeps_bounds {
            notes.rescaled = self.next;
        }
        self.multiplied.extend(widening.factor.map(|factor| (id, factor)));
        self.put(index, &field.with_data_type(data_type.clone()), &notes);
        self.adapts_files = true;
        Ok(())
    }

    fn set_nullable(&mut self, name: &str, nullable: bool) -> Result<()> {
        let (index, id, notes) = self.field(name)?;
        let field = self.fields[index].as_ref().clone();
        if nullable {
            let is_primary = |key: &&super::Key| key.kind == super::KeyKind::Primary && key.columns.contains(&id);
            if let Some(key) = self.notes.keys.iter().find(is_primary) {
                return Err(Error::InvalidInput(format!(
                    "column '{name}' is in primary key '{}', which allows no nulls; drop that first",
                    key.name
                )));
            }
        } else if field.is_nullable() {
            self.tighten(id);
        }
        self.put(index, &field.with_nullable(nullable), &notes);
        Ok(())
    }

    /// A column becomes NOT NULL. In rows that are there, one of these steps' own is its default.
    fn tighten(&mut self, id: i32) {
        let Some(field) = self.fields.iter().find(|field| field_id(field) == Some(id)) else { return };
        let notes = column_notes(field);
        match notes.added == self.next && notes.initial.is_none() {
            true => self.needs_no_rows = Some(field.name().clone()),
            false => self.tightened.push(id),
        }
    }

    fn set_default(&mut self, name: &str, default: Option<String>) -> Result<()> {
        let (index, _, mut notes) = self.field(name)?;
        let field = self.fields[index].as_ref().clone();
        if let Some(text) = &default {
            parse_value(text, field.data_type())?;
        }
        notes.default = default;
        self.put(index, &field, &notes);
        Ok(())
    }

    fn drop_key(&mut self, name: &str) -> Result<()> {
        let before = self.notes.keys.len();
        self.notes.keys.retain(|key| key.name != name);
        match self.notes.keys.len() < before {
            true => Ok(()),
            false => {
                let hint = "; see system.constraints".to_owned();
                Err(Error::NotFound { what: "constraint", name: name.to_owned(), hint })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        golden,
        schema::{KeyKind, NewReference, ReferredColumns, Rule, check_assigned},
    };

    fn base() -> SchemaRef {
        let fields = vec![
            Field::new("id", DataType::Int32, false),
            Field::new("name", DataType::Utf8, true),
            Field::new("raw", DataType::Binary, true),
        ];
        assign(&Schema::new(fields), None, 0).schema
    }

    fn add(name: &str, data_type: DataType, nullable: bool, default: Option<&str>) -> Alteration {
        Alteration::AddColumn { field: Field::new(name, data_type, nullable), default: default.map(str::to_owned) }
    }

    fn named(evolved: &Evolved) -> Vec<(&str, i32)> {
        evolved.schema.fields().iter().map(|f| (f.name().as_str(), field_id(f).unwrap())).collect()
    }

    #[test]
    fn a_dropped_column_that_is_added_again_is_another_one() {
        let drop = Alteration::DropColumn { name: "name".to_owned(), cascade: false };
        let evolved = evolve(&base(), 4, 3, &[drop, add("name", DataType::Utf8, false, Some("x"))]).unwrap();
        assert_eq!(named(&evolved), [("id", 1), ("raw", 3), ("name", 4)]);
        assert_eq!((evolved.last_field_id, evolved.adapts_files, evolved.needs_no_rows.clone()), (4, true, None));
        check_assigned(&evolved.schema).unwrap();
        let notes = column_notes(evolved.schema.field(2));
        assert_eq!((notes.added, notes.initial.as_deref(), notes.default.as_deref()), (5, Some("x"), Some("x")));
        assert_eq!(table_notes(&evolved.schema).altered_from, 4);
        let again = evolve(&evolved.schema, 5, 4, &[add("z", DataType::Int8, true, None)]).unwrap();
        assert_eq!(table_notes(&again.schema).altered_from, 4, "all files since then can be read");
    }

    #[test]
    fn renamed_and_widened_columns_keep_their_id() {
        let steps = [
            Alteration::RenameColumn { from: "id".to_owned(), to: "key".to_owned() },
            Alteration::SetType { name: "key".to_owned(), data_type: DataType::Int64 },
            Alteration::SetNullable { name: "key".to_owned(), nullable: true },
        ];
        let evolved = evolve(&base(), 1, 3, &steps).unwrap();
        assert_eq!(named(&evolved)[0], ("key", 1));
        assert!(evolved.schema.field(0).is_nullable());
        assert_eq!((column_notes(evolved.schema.field(0)).typed, evolved.last_field_id), (2, 3));
    }

    #[test]
    fn steps_that_cannot_be_taken_are_refused() {
        let rename = |from: &str, to: &str| Alteration::RenameColumn { from: from.to_owned(), to: to.to_owned() };
        let drop = |name: &str| Alteration::DropColumn { name: name.to_owned(), cascade: false };
        let primary = Alteration::AddKey(NewKey {
            name: "p".to_owned(),
            kind: KeyKind::Primary,
            columns: vec!["id".to_owned()],
            references: None,
        });
        for steps in [
            vec![add("id", DataType::Int8, true, None)],
            vec![add("x", DataType::Int8, true, Some("many"))],
            vec![add("", DataType::Int8, true, None)],
            vec![drop("x")],
            vec![drop("id"), drop("name"), drop("raw")],
            vec![rename("id", "name")],
            vec![rename("x", "y")],
            vec![rename("raw", "bytes"), add("raw", DataType::Utf8, true, None)],
            vec![primary.clone(), drop("id")],
            vec![primary.clone(), Alteration::SetNullable { name: "id".to_owned(), nullable: true }],
            vec![Alteration::SetType { name: "id".to_owned(), data_type: DataType::Int16 }],
            vec![Alteration::DropKey("p".to_owned())],
        ] {
            assert!(evolve(&base(), 1, 3, &steps).is_err(), "{steps:?}");
        }
        let cascade = Alteration::DropColumn { name: "id".to_owned(), cascade: true };
        let evolved = evolve(&base(), 1, 3, &[primary, cascade]).unwrap();
        assert!(table_notes(&evolved.schema).keys.is_empty());
    }

    #[test]
    fn the_format_is_the_one_on_file() {
        let key = |name: &str, kind, columns: &[&str], references| {
            let columns = columns.iter().map(ToString::to_string).collect();
            Alteration::AddKey(NewKey { name: name.to_owned(), kind, columns, references })
        };
        let other = "01JC0000000000000000000010".parse().unwrap();
        let reference = |to| Some(NewReference { to, on_update: Rule::SetNull, on_delete: Rule::Cascade });
        let steps = [
            add("n", DataType::Int32, true, Some("7")),
            Alteration::SetDefault { name: "n".to_owned(), default: Some("8".to_owned()) },
            Alteration::RenameColumn { from: "raw".to_owned(), to: "bytes".to_owned() },
            Alteration::SetType { name: "id".to_owned(), data_type: DataType::Float64 },
            key("p", KeyKind::Primary, &["id"], None),
            key("u", KeyKind::Unique, &["name", "n"], None),
            key("f", KeyKind::Foreign, &["n"], reference(ReferredColumns::Of(other, vec![3]))),
            key("own", KeyKind::Foreign, &["id"], reference(ReferredColumns::Own(vec![]))),
        ];
        let evolved = evolve(&base(), 2, 3, &steps).unwrap();
        let table = table_notes(&evolved.schema);
        assert_eq!(table.keys.len(), 4);
        golden::check("table_notes", &table);
        let all = ColumnNotes {
            formerly: column_notes(evolved.schema.field(2)).formerly,
            ..column_notes(evolved.schema.field(3))
        };
        let ColumnNotes { typed, rescaled, .. } = column_notes(evolved.schema.field(0));
        golden::check("column_notes", &ColumnNotes { typed, rescaled, ..all });
    }

    #[test]
    fn what_the_rows_must_be_like_is_told() {
        let not_null = Alteration::SetNullable { name: "name".to_owned(), nullable: false };
        let evolved = evolve(&base(), 1, 3, &[add("x", DataType::Int8, false, None), not_null]).unwrap();
        assert_eq!((evolved.needs_no_rows.as_deref(), evolved.tightened.as_slice()), (Some("x"), [2].as_slice()));
        let not_null = Alteration::SetNullable { name: "y".to_owned(), nullable: false };
        let evolved = evolve(&base(), 1, 3, &[add("y", DataType::Int8, true, None), not_null]).unwrap();
        assert_eq!((evolved.needs_no_rows.as_deref(), evolved.tightened.len()), (Some("y"), 0));
    }
}

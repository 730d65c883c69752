//! `ALTER TABLE`: what a change of columns becomes when it meets the newest state, and which files written before it still fit after it.

use std::collections::HashSet;

use arrow_schema::Schema;
use skein_model::FileId;

use crate::{
    ColumnStats, DataFile, Error, StatValue, column_notes, field_id,
    log::State,
    schema::{Alteration, Evolved, evolve, table_notes},
};

/// A change of columns that keeps the rows.
#[derive(Debug, Clone)]
pub struct Alter {
    /// What to do, one after the other.
    pub steps: Vec<Alteration>,
    /// The schema it is based on ([`crate::Snapshot::schema_id`]).
    pub schema_id: u32,
    /// Files that were looked into: they have no nulls in columns that become NOT NULL, whatever their statistics say.
    pub without_nulls: HashSet<FileId>,
}

/// Why it cannot be done on top of a state.
pub(super) enum Refusal {
    /// Whatever the state.
    Never(Error),
    /// Somebody else was first.
    Conflict(String),
}

impl Refusal {
    pub(super) fn of(self, conflict: impl FnOnce(String) -> Error) -> Error {
        match self {
            Self::Never(error) => error,
            Self::Conflict(reason) => conflict(reason),
        }
    }
}

impl Alter {
    /// The columns after it.
    pub(super) fn evolved(&self, state: &State) -> Result<Evolved, Refusal> {
        let snapshot = state.snapshot();
        if snapshot.schema_id != self.schema_id {
            return Err(Refusal::Conflict("its columns were changed at the same time".to_owned()));
        }
        let schema = &state.stored_schema().0;
        let evolved = evolve(schema, snapshot.schema_id, state.last_field_id(), &self.steps).map_err(Refusal::Never)?;
        if let Some(column) = evolved.needs_no_rows.as_ref().filter(|_| snapshot.rows > 0) {
            let rows = if snapshot.rows == 1 {
                "1 row that has".to_owned()
            } else {
                format!("{} rows that have", snapshot.rows)
            };
            return Err(Refusal::Never(Error::InvalidInput(format!(
                "column '{column}' is NOT NULL, and the table has {rows} no value for it; give it a DEFAULT"
            ))));
        }
        for file in snapshot.files.iter() {
            self.check_nulls(&evolved, schema, file)?;
            check_range(&evolved, schema, file)?;
        }
        Ok(evolved)
    }

    /// A file that was looked into has none; of others the statistics must say so.
    fn check_nulls(&self, evolved: &Evolved, schema: &Schema, file: &DataFile) -> Result<(), Refusal> {
        if file.live_rows() == 0 || self.without_nulls.contains(&file.id) {
            return Ok(());
        }
        match evolved.tightened.iter().find(|id| !has_no_nulls(&evolved.schema, file, **id)) {
            None => Ok(()),
            Some(id) => Err(Refusal::Conflict(format!(
                "rows were added meanwhile in which column '{}' may be null",
                name_of(schema, &evolved.schema, *id)
            ))),
        }
    }
}

/// Whether statistics, or the lack of the column in the file, rule out nulls.
fn has_no_nulls(schema: &Schema, file: &DataFile, id: i32) -> bool {
    let Some(field) = schema.fields().iter().find(|field| field_id(field) == Some(id)) else { return true };
    let notes = column_notes(field);
    if file.schema_id < notes.added {
        return notes.initial.is_some() || file.live_rows() == 0;
    }
    file.live_rows() == 0 || file.columns.get(&id).is_some_and(|stats| stats.nulls == 0)
}

/// Whether the multiplied numbers fit into 64 bits.
fn check_range(evolved: &Evolved, schema: &Schema, file: &DataFile) -> Result<(), Refusal> {
    for (id, factor) in &evolved.multiplied {
        let Some(field) = schema.fields().iter().find(|field| field_id(field) == Some(*id)) else { continue };
        let notes = column_notes(field);
        if file.schema_id < notes.added {
            continue;
        }
        let fits = |bound: &Option<StatValue>| match bound {
            Some(StatValue::Int(value)) => value.checked_mul(*factor).is_some(),
            _ => false,
        };
        let all_null = |stats: &ColumnStats| stats.nulls == file.rows;
        let known = file.columns.get(id).filter(|_| file.schema_id >= notes.rescaled);
        if !known.is_some_and(|stats| all_null(stats) || (fits(&stats.min) && fits(&stats.max))) {
            return Err(Refusal::Never(Error::InvalidInput(format!(
                "column '{}' holds values that do not fit into the finer unit, or may do so; use CREATE OR REPLACE TABLE ... AS \
                 SELECT",
                field.name()
            ))));
        }
    }
    Ok(())
}

fn name_of(before: &Schema, after: &Schema, id: i32) -> String {
    let fields = before.fields().iter().chain(after.fields());
    fields.into_iter().find(|field| field_id(field) == Some(id)).map(|field| field.name().clone()).unwrap_or_default()
}

/// Whether a file that was written with an older schema can join a dataset with this one, whose number is `number`.
pub(super) fn fits(schema: &Schema, number: u32, file: &DataFile) -> bool {
    fits_after(&Schema::empty(), schema, number, file)
}

/// The same of a file that is a part of the dataset, whose schema was `before` up to now: so what that asks is so.
pub(super) fn fits_after(before: &Schema, schema: &Schema, number: u32, file: &DataFile) -> bool {
    let from = table_notes(schema).altered_from;
    if from == 0 || file.schema_id < from || file.schema_id > number {
        return false;
    }
    schema.fields().iter().all(|field| {
        let Some(id) = field_id(field) else { return false };
        let notes = column_notes(field);
        // Whether its values fit into a finer unit was asked of the files there were.
        let in_unit = file.schema_id >= notes.rescaled || file.schema_id < notes.added;
        let no_proof_needed =
            field.is_nullable() || before.fields().iter().any(|f| field_id(f) == Some(id) && !f.is_nullable());
        in_unit && (no_proof_needed || has_no_nulls(schema, file, id))
    })
}

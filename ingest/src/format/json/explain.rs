//! Why a JSON value does not fit its columns.

use arrow::datatypes::{DataType, Field, Fields, Schema};
use serde_json::Value;

/// What is wrong, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) path: Option<String>,
    pub(super) value: Option<String>,
    pub(super) reason: String,
}

/// The first thing wrong with a record; `None` when nothing is known to be.
pub(super) fn record(value: &Value, schema: &Schema, sample_rows: usize) -> Option<Problem> {
    match value {
        Value::Object(_) => Walk { sample_rows }.object(value, schema.fields(), ""),
        other => Some(Problem {
            path: None,
            value: Some(other.to_string()),
            reason: "it is not an object, such as {\"a\": 1}".to_owned(),
        }),
    }
}

struct Walk {
    sample_rows: usize,
}

impl Walk {
    fn object(&self, value: &Value, fields: &Fields, path: &str) -> Option<Problem> {
        let Value::Object(object) = value else { return Some(wrong(path, value, "an object")) };
        let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        if let Some((name, value)) = object.iter().find(|(name, _)| fields.find(name).is_none()) {
            let reason = format!(
                "the field is not among the columns, which were found in the first {} records; raise sample_rows, or \
                 leave the field out",
                self.sample_rows
            );
            return Some(Problem { path: Some(join(name)), value: Some(value.to_string()), reason });
        }
        fields
            .iter()
            .find_map(|field| self.field(object.get(field.name()).unwrap_or(&Value::Null), field, &join(field.name())))
    }

    fn field(&self, value: &Value, field: &Field, path: &str) -> Option<Problem> {
        if value.is_null() {
            let reason = "it is null or missing, and the column allows no nulls".to_owned();
            return (!field.is_nullable()).then(|| Problem { path: Some(path.to_owned()), value: None, reason });
        }
        self.value(value, field.data_type(), path)
    }

    fn value(&self, value: &Value, data_type: &DataType, path: &str) -> Option<Problem> {
        match data_type {
            DataType::Struct(fields) => self.object(value, fields, path),
            DataType::List(item) | DataType::LargeList(item) => {
                let Value::Array(values) = value else { return Some(wrong(path, value, "an array")) };
                values.iter().enumerate().find_map(|(i, value)| self.field(value, item, &format!("{path}[{i}]")))
            }
            DataType::Boolean => (!value.is_boolean()).then(|| wrong(path, value, "true or false")),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                (value.is_object() || value.is_array()).then(|| wrong(path, value, "text"))
            }
            DataType::Float16 | DataType::Float32 | DataType::Float64 => {
                let number = value.is_number() || value.as_str().is_some_and(|s| s.parse::<f64>().is_ok());
                (!number).then(|| wrong(path, value, "a number"))
            }
            other if other.is_integer() => {
                (!fits(value, other)).then(|| wrong(path, value, &format!("a whole number in range ({other})")))
            }
            other => (value.is_object() || value.is_array() || value.is_boolean())
                .then(|| wrong(path, value, &format!("{other}"))),
        }
    }
}

fn fits(value: &Value, data_type: &DataType) -> bool {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return false,
    };
    match data_type {
        DataType::Int8 => text.parse::<i8>().is_ok(),
        DataType::Int16 => text.parse::<i16>().is_ok(),
        DataType::Int32 => text.parse::<i32>().is_ok(),
        DataType::Int64 => text.parse::<i64>().is_ok(),
        DataType::UInt8 => text.parse::<u8>().is_ok(),
        DataType::UInt16 => text.parse::<u16>().is_ok(),
        DataType::UInt32 => text.parse::<u32>().is_ok(),
        _ => text.parse::<u64>().is_ok(),
    }
}

fn wrong(path: &str, value: &Value, wanted: &str) -> Problem {
    Problem { path: Some(path.to_owned()), value: Some(value.to_string()), reason: format!("not {wanted}") }
}

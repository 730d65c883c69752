//! Values for parameters.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use datafusion::{
    common::{ParamValues, metadata::ScalarAndMetadata},
    scalar::ScalarValue,
};

use super::Parameter;
use crate::{Error, Result};

/// One value per parameter, cast to the parameter's type where that is known.
pub(super) fn values(parameters: &[Parameter], row: &[ScalarValue]) -> Result<ParamValues> {
    if parameters.len() != row.len() {
        return Err(Error::Invalid(format!(
            "the statement takes {} parameters and got {} values",
            parameters.len(),
            row.len()
        )));
    }
    let mut values = HashMap::with_capacity(row.len());
    for (parameter, value) in parameters.iter().zip(row) {
        let value = fit(parameter, value)?;
        let name = parameter.name.trim_start_matches(['$', ':']).to_owned();
        values.insert(name, ScalarAndMetadata::new(value, None));
    }
    Ok(ParamValues::Map(values))
}

/// The value as its parameter's type, where that loses nothing. `a > 5.5` must not become `a > 5` because `a` is an integer:
/// such a value keeps its type, and the comparison is coerced like one with a literal.
fn fit(parameter: &Parameter, value: &ScalarValue) -> Result<ScalarValue> {
    let Some(wanted) = &parameter.data_type else { return Ok(value.clone()) };
    let given = value.data_type();
    if *wanted == given {
        return Ok(value.clone());
    }
    match value.cast_to(wanted) {
        Ok(cast) if value.is_null() || cast.cast_to(&given).is_ok_and(|back| back == *value) => Ok(cast),
        Ok(_) => Ok(value.clone()),
        Err(_) if wanted.is_numeric() && given.is_numeric() => Ok(value.clone()),
        // What takes a vector reads text, too, and knows better what to say of another length.
        Err(_) if wanted.is_list() && (given.is_list() || given.is_string()) => Ok(value.clone()),
        Err(e) => {
            Err(Error::Invalid(format!("parameter {} cannot be read as {wanted}: {}", parameter.name, e.message())))
        }
    }
}

/// The single row of a set of batches.
pub(super) fn only_row(batches: &[RecordBatch]) -> Result<Vec<ScalarValue>> {
    let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(Vec::new()) };
    batch.columns().iter().map(|column| Ok(ScalarValue::try_from_array(column, 0)?)).collect()
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::*;

    #[test]
    fn a_value_takes_the_parameters_type_where_nothing_is_lost() {
        let parameter = Parameter { name: "$1".to_owned(), data_type: Some(DataType::Int64) };
        assert_eq!(fit(&parameter, &ScalarValue::from(5_i32)).unwrap(), ScalarValue::from(5_i64));
        assert_eq!(fit(&parameter, &ScalarValue::from(5.5)).unwrap(), ScalarValue::from(5.5));
        assert_eq!(fit(&parameter, &ScalarValue::Null).unwrap(), ScalarValue::Int64(None));
        assert!(fit(&parameter, &ScalarValue::from("five")).unwrap_err().to_string().contains("$1"));
        assert!(values(&[parameter], &[]).is_err());
    }
}

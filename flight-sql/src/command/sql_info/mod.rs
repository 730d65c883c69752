//! CommandGetSqlInfo: what the server is and what its SQL can do. Every code of the specification has a value; where one depends on DataFusion, it is asked of
//! DataFusion, so that it stays true.

mod functions;
mod values;

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow_flight::sql::metadata::SqlInfoDataBuilder;
use arrow_schema::{Schema, SchemaRef};

use super::metadata::{built_wrong, made};
use crate::{Options, Result, ServerFacts};

/// All values, sorted by code.
#[derive(Debug)]
pub(super) struct SqlInfoTable(RecordBatch);

impl SqlInfoTable {
    pub(super) fn new(facts: &ServerFacts, options: &Options) -> Result<Self> {
        let data = values::all(facts, options).build().map_err(built_wrong)?;
        let batch = data.record_batch([]).map_err(built_wrong)?;
        // The builder lets a batch choose its own nullability; this is the specification's.
        let schema: SchemaRef = Arc::new(Schema::clone(SqlInfoDataBuilder::schema()));
        Ok(Self(RecordBatch::try_new(schema, batch.columns().to_vec()).map_err(made)?))
    }

    pub(super) fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    /// The values for some codes, or all without any. Codes that nobody knows are left out, as the specification says.
    pub(super) fn answer(&self, codes: &[u32]) -> Result<RecordBatch> {
        if codes.is_empty() {
            return Ok(self.0.clone());
        }
        let known = self.codes();
        let rows = known.iter().enumerate().filter(|(_, code)| codes.contains(code));
        let rows = UInt32Array::from_iter_values(rows.filter_map(|(row, _)| u32::try_from(row).ok()));
        arrow::compute::take_record_batch(&self.0, &rows).map_err(made)
    }

    fn codes(&self) -> Vec<u32> {
        use arrow::{array::AsArray, datatypes::UInt32Type};
        self.0.column(0).as_primitive::<UInt32Type>().values().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Array, AsArray},
        datatypes::{Int32Type, Int64Type},
    };
    use arrow_flight::sql::SqlInfo;

    use super::*;

    fn table() -> SqlInfoTable {
        SqlInfoTable::new(&ServerFacts::default(), &Options::default()).unwrap()
    }

    #[test]
    fn every_code_of_the_specification_has_a_value() {
        let codes = table().codes();
        let expected: Vec<u32> =
            (0..10_000u16).filter(|code| SqlInfo::try_from(i32::from(*code)).is_ok()).map(u32::from).collect();
        assert_eq!(codes, expected);
        assert!(codes.contains(&504) && codes.contains(&576) && codes.contains(&11));
    }

    #[test]
    fn asked_for_codes_come_back_and_unknown_ones_do_not() {
        let batch = table().answer(&[504, 8, 504, 9_999]).unwrap();
        assert_eq!(batch.num_rows(), 2);
        assert_eq!(batch.schema(), table().schema());
        let union = batch.column(1).as_union();
        assert_eq!(union.value(0).as_primitive::<Int32Type>().value(0), 2);
        assert_eq!(union.value(1).as_string::<i32>().value(0), "\"");
        assert_eq!(table().answer(&[]).unwrap().num_rows(), table().codes().len());
    }

    #[test]
    fn values_have_the_types_that_clients_read() {
        let value = |code: SqlInfo| table().answer(&[code as u32]).unwrap().column(1).as_union().value(0);
        assert_eq!(value(SqlInfo::SqlMaxTableNameLength).as_primitive::<Int64Type>().value(0), 255);
        assert!(value(SqlInfo::FlightSqlServerBulkIngestion).as_boolean().value(0));
        for code in [
            SqlInfo::SqlKeywords,
            SqlInfo::SqlNumericFunctions,
            SqlInfo::SqlStringFunctions,
            SqlInfo::SqlSystemFunctions,
            SqlInfo::SqlDatetimeFunctions,
        ] {
            assert!(value(code).as_list::<i32>().value(0).len() > 2, "{code:?}");
        }
        assert!(value(SqlInfo::SqlSupportsConvert).as_map().value(0).len() > 10);
    }
}

//! Functions whose result is as large as a number says. DataFusion allocates it at once, and a process that asks for more memory
//! than there is ends; so the number is looked at first.

use arrow::{
    array::{Array, AsArray},
    compute::cast,
    datatypes::{DataType, FieldRef, Int64Type},
};
use datafusion::{
    error::Result,
    execution::{FunctionRegistry, session_state::SessionState},
    logical_expr::{
        ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
        simplify::{ExprSimplifyResult, SimplifyContext},
    },
};

use crate::Error;

/// Names of such functions, and which argument says how many.
const FUNCTIONS: [(&str, usize); 5] =
    [("array_repeat", 1), ("array_resize", 1), ("lpad", 1), ("rpad", 1), ("repeat", 1)];
/// Most bytes that one of them makes for one batch.
const MAX_BYTES: u64 = 1 << 30;
/// What an item of an array takes at least.
const ITEM_BYTES: u64 = 8;

/// The functions of a session, with the check before them.
pub(super) fn functions(state: &SessionState) -> Vec<ScalarUDF> {
    let guarded = |(name, count): (&str, usize)| {
        let inner = state.udf(name).ok()?;
        Some(ScalarUDF::new_from_impl(Bounded { inner: inner.as_ref().clone(), count }))
    };
    FUNCTIONS.into_iter().filter_map(guarded).collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: ScalarUDF,
    /// Which argument says how many.
    count: usize,
}

impl Bounded {
    fn check(&self, args: &ScalarFunctionArgs) -> Result<()> {
        let (Some(value), Some(count)) = (args.args.first(), args.args.get(self.count)) else { return Ok(()) };
        let is_text = matches!(value.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let each = match self.inner.name() {
            // Counted in characters of the result, not in copies.
            "lpad" | "rpad" => 1,
            "repeat" => bytes_of_one(value, args.number_rows),
            _ => ITEM_BYTES.max(bytes_of_one(value, args.number_rows)),
        };
        let bytes = total(count, args.number_rows).saturating_mul(each);
        if bytes <= MAX_BYTES {
            return Ok(());
        }
        let what = if is_text { "text" } else { "an array" };
        Err(Error::Exhausted(format!(
            "{}() would make {what} of {bytes} bytes at once; the limit is {MAX_BYTES}. Give it a smaller number",
            self.inner.name()
        ))
        .into())
    }
}

/// About how large one of the values is.
fn bytes_of_one(value: &ColumnarValue, rows: usize) -> u64 {
    match value {
        ColumnarValue::Scalar(value) => value.to_array().map_or(0, |array| bytes(array.as_ref())),
        ColumnarValue::Array(array) => bytes(array.as_ref()) / (rows.max(1) as u64),
    }
}

fn bytes(array: &dyn Array) -> u64 {
    array.to_data().get_slice_memory_size().map_or(0, |bytes| bytes as u64)
}

/// The sum of all counts; those that cannot be read are the function's business.
fn total(count: &ColumnarValue, rows: usize) -> u64 {
    let (array, times) = match count {
        ColumnarValue::Scalar(value) => match value.to_array() {
            Ok(array) => (array, rows as u64),
            Err(_) => return 0,
        },
        ColumnarValue::Array(array) => (array.clone(), 1),
    };
    let Ok(counts) = cast(&array, &DataType::Int64) else { return 0 };
    let counts = counts.as_primitive::<Int64Type>();
    let sum = counts.iter().flatten().fold(0_u64, |sum, n| sum.saturating_add(u64::try_from(n).unwrap_or(0)));
    sum.saturating_mul(times)
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.inner().return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.check(&args)?;
        self.inner.invoke_with_args(args)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, info)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

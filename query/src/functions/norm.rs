//! `vector_norm(a)`.

use std::sync::Arc;

use arrow::{
    array::PrimitiveBuilder,
    datatypes::{DataType, Float32Type, Float64Type},
};
use datafusion::{
    common::utils::take_function_args,
    error::Result,
    logical_expr::{
        ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
        scalar_doc_sections::DOC_SECTION_ARRAY,
    },
};

use super::{
    arguments::{Argument, coerce, components},
    kernel::{Number, norm},
};

const NAME: &str = "vector_norm";

/// The Euclidean length of a vector.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Norm {
    signature: Signature,
    documentation: Documentation,
}

impl Norm {
    pub(super) fn new() -> Self {
        let documentation = Documentation::builder(
            DOC_SECTION_ARRAY,
            "Returns the Euclidean length of a vector: the root of the sum of its squares.",
            format!("{NAME}(vector)"),
        )
        .with_argument("vector", "A list of numbers, or text such as '[1, 2, 3]'.")
        .build();
        Self { signature: Signature::user_defined(Volatility::Immutable), documentation }
    }
}

fn rows<T: Number>(a: &Argument, rows: usize) -> Result<ColumnarValue> {
    let vectors = a.vectors::<T>()?;
    if a.is_constant() {
        return Ok(ColumnarValue::Scalar(T::scalar(vectors.of(0).map(norm::<T>))));
    }
    let mut norms = PrimitiveBuilder::<T>::with_capacity(rows);
    for row in 0..rows {
        norms.append_option(vectors.of(row).map(norm::<T>));
    }
    Ok(ColumnarValue::Array(Arc::new(norms.finish())))
}

impl ScalarUDFImpl for Norm {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce(NAME, types, 1)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        components(NAME, types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [a] = take_function_args(NAME, &args.args)?;
        let a = Argument::new(a, args.arg_fields.first(), args.return_type())?;
        match args.return_type() {
            DataType::Float32 => rows::<Float32Type>(&a, args.number_rows),
            _ => rows::<Float64Type>(&a, args.number_rows),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

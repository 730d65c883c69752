//! Functions of two vectors.

use std::sync::Arc;

use arrow::{
    array::PrimitiveBuilder,
    datatypes::{DataType, Float32Type, Float64Type},
};
use datafusion::{
    common::utils::take_function_args,
    error::Result,
    logical_expr::{
        ColumnarValue, Documentation, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
        expr::ScalarFunction,
        scalar_doc_sections::DOC_SECTION_ARRAY,
        simplify::{ExprSimplifyResult, SimplifyContext},
    },
    scalar::ScalarValue,
};
use skein_vector::Metric;

use super::{
    arguments::{Argument, coerce, components, is_text, length, text_as_list},
    kernel::{Number, measure},
};
use crate::Error;

/// What a function says of two vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Measure {
    /// The root of the sum of squares of differences.
    L2,
    /// 1 - cosine of the angle between them. Not a number for a vector of zeros.
    Cosine,
    /// The sum of products: the larger, the nearer.
    InnerProduct,
    /// The same, negated: the smaller, the nearer.
    NegativeInnerProduct,
}

impl Measure {
    pub(super) const ALL: [Self; 4] = [Self::L2, Self::Cosine, Self::InnerProduct, Self::NegativeInnerProduct];

    /// The function's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::L2 => "l2_distance",
            Self::Cosine => "cosine_distance",
            Self::InnerProduct => "inner_product",
            Self::NegativeInnerProduct => "negative_inner_product",
        }
    }

    /// Which metric it is.
    pub(crate) const fn metric(self) -> Metric {
        match self {
            Self::L2 => Metric::L2,
            Self::Cosine => Metric::Cosine,
            Self::InnerProduct | Self::NegativeInnerProduct => Metric::InnerProduct,
        }
    }

    /// Whether the nearest vectors have the least values.
    pub(crate) const fn nearest_is_least(self) -> bool {
        !matches!(self, Self::InnerProduct)
    }

    const fn description(self) -> &'static str {
        match self {
            Self::L2 => "Returns the Euclidean distance of two vectors of the same length.",
            Self::Cosine => {
                "Returns the cosine distance of two vectors of the same length: 0 for the same direction, 2 for the opposite one. NaN, which comes last, for a vector of zeros."
            }
            Self::InnerProduct => "Returns the inner product of two vectors of the same length.",
            Self::NegativeInnerProduct => {
                "Returns the inner product of two vectors of the same length, negated: the smaller, the nearer."
            }
        }
    }
}

/// A function of two vectors.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Distance {
    measure: Measure,
    aliases: Vec<String>,
    signature: Signature,
    documentation: Documentation,
}

impl Distance {
    pub(super) fn new(measure: Measure) -> Self {
        let name = measure.name();
        let documentation =
            Documentation::builder(DOC_SECTION_ARRAY, measure.description(), format!("{name}(vector, vector)"))
                .with_sql_example(format!(
                    "```sql\nSELECT id FROM docs ORDER BY {name}(embedding, [0.1, 0.2, 0.3]) LIMIT 10\n```"
                ))
                .with_argument("vector", "A list of numbers, or text such as '[1, 2, 3]'.")
                .build();
        // What DataFusion calls it, too.
        let aliases = if measure == Measure::InnerProduct { vec!["dot_product".to_owned()] } else { Vec::new() };
        Self { measure, aliases, signature: Signature::user_defined(Volatility::Immutable), documentation }
    }

    /// What it measures.
    pub(crate) fn measure(&self) -> Measure {
        self.measure
    }

    fn rows<T: Number>(&self, a: &Argument, b: &Argument, rows: usize) -> Result<ColumnarValue> {
        let (left, right) = (a.vectors::<T>()?, b.vectors::<T>()?);
        let one = |row: usize| match (left.of(row), right.of(row)) {
            (Some(x), Some(y)) if x.len() == y.len() => Ok(Some(measure::<T>(self.measure, x, y))),
            (Some(x), Some(y)) => Err(self.unequal((a.name(), x.len()), (b.name(), y.len()))),
            _ => Ok(None),
        };
        if a.is_constant() && b.is_constant() {
            return Ok(ColumnarValue::Scalar(T::scalar(one(0)?)));
        }
        let mut distances = PrimitiveBuilder::<T>::with_capacity(rows);
        for row in 0..rows {
            distances.append_option(one(row)?);
        }
        Ok(ColumnarValue::Array(Arc::new(distances.finish())))
    }

    fn unequal(&self, (a, length_a): (&str, usize), (b, length_b): (&str, usize)) -> Error {
        Error::Invalid(format!(
            "{}() needs two vectors of the same length: {a} has {length_a} numbers and {b} {length_b}",
            self.measure.name()
        ))
    }

    /// Lengths that are known before there are rows.
    fn check_lengths(&self, args: &[Expr], types: &[DataType]) -> Result<()> {
        let known = args.iter().zip(types).filter_map(|(arg, kind)| {
            let value = match arg {
                Expr::Literal(value, _) => Some(value),
                _ => None,
            };
            let name = match arg {
                Expr::Column(column) => format!("'{}'", column.name()),
                Expr::Literal(..) => "the constant".to_owned(),
                _ => "the computed one".to_owned(),
            };
            Some((name, length(kind, value)?))
        });
        match known.collect::<Vec<_>>().as_slice() {
            [(a, length_a), (b, length_b)] if length_a != length_b => {
                Err(self.unequal((a, *length_a), (b, *length_b)).into())
            }
            _ => Ok(()),
        }
    }
}

impl ScalarUDFImpl for Distance {
    fn name(&self) -> &str {
        self.measure.name()
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce(self.name(), types, 2)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        components(self.name(), types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let number = args.return_type().clone();
        let [a, b] = take_function_args(self.name(), &args.args)?;
        let a = Argument::new(a, args.arg_fields.first(), &number)?;
        let b = Argument::new(b, args.arg_fields.get(1), &number)?;
        match number {
            DataType::Float32 => self.rows::<Float32Type>(&a, &b, args.number_rows),
            _ => self.rows::<Float64Type>(&a, &b, args.number_rows),
        }
    }

    /// Constants in text become lists, once and for all.
    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let types = args.iter().map(|arg| info.get_data_type(arg)).collect::<Result<Vec<_>>>()?;
        let number = components(self.name(), &types)?;
        let mut changed = false;
        let list = |arg: Expr| -> Result<Expr> {
            match arg {
                Expr::Literal(value, _) if is_text(&value.data_type()) && !value.is_null() => {
                    changed = true;
                    let list = text_as_list(&value.to_array()?, &number)?;
                    Ok(Expr::Literal(ScalarValue::try_from_array(&list, 0)?, None))
                }
                other => Ok(other),
            }
        };
        let args = args.into_iter().map(list).collect::<Result<Vec<_>>>()?;
        self.check_lengths(&args, &types)?;
        if !changed {
            return Ok(ExprSimplifyResult::Original(args));
        }
        let function = Arc::new(ScalarUDF::new_from_impl(self.clone()));
        Ok(ExprSimplifyResult::Simplified(Expr::ScalarFunction(ScalarFunction::new_udf(function, args))))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

//! `embed(model, text [, purpose])`: the vector that a model makes of a text.
//!
//! The purpose is `'passage'`, when left out, for a text that is to be found, or `'query'` for one to search with: some models tell them apart.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array},
    buffer::NullBuffer,
    compute::cast,
    datatypes::{DataType, Field, FieldRef},
};
use async_trait::async_trait;
use datafusion::{
    error::Result,
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
        Volatility,
        async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl},
    },
    scalar::ScalarValue,
};
use skein_ai::{Embedder, Models, Purpose};

use super::arguments::is_text;
use crate::Error;

/// The function's name.
pub(crate) const EMBED: &str = "embed";
/// Texts that are given to a model at a time: enough to fill its batches, few enough that a statement can be cancelled between them.
const AT_ONCE: usize = 256;

/// The function.
#[derive(Debug)]
pub(crate) struct Embed {
    models: Arc<Models>,
    signature: Signature,
}

impl PartialEq for Embed {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.models, &other.models)
    }
}

impl Eq for Embed {}

impl Hash for Embed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        EMBED.hash(state);
    }
}

impl Embed {
    /// With these models.
    pub(super) fn function(models: Arc<Models>) -> ScalarUDF {
        // Not immutable: the optimiser would have to wait for a model.
        let takes = vec![TypeSignature::Any(2), TypeSignature::Any(3)];
        // Types stay as they are: a constant that was cast would be none any more, and the model has to be one.
        let signature = Signature::one_of(takes, Volatility::Volatile);
        AsyncScalarUDF::new(Arc::new(Self { models, signature })).into_scalar_udf()
    }

    fn model(&self, name: Option<&ScalarValue>) -> Result<String> {
        let name = name.and_then(|name| name.try_as_str().flatten()).ok_or_else(|| {
            Error::Invalid("embed() takes the model's name as a constant, such as embed('minilm', body)".to_owned())
        })?;
        Ok(name.to_owned())
    }
}

impl ScalarUDFImpl for Embed {
    fn name(&self) -> &str {
        EMBED
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Err(Error::Invalid("the type of embed() depends on its model".to_owned()).into())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let name = self.model(args.scalar_arguments.first().copied().flatten())?;
        if let Some(other) =
            args.arg_fields.iter().map(|field| field.data_type()).find(|kind| !is_text(kind) && !kind.is_null())
        {
            return Err(Error::Invalid(format!("embed() takes texts, not {other}; cast it with ::text")).into());
        }
        // It was loaded when the statement's names were looked up.
        let info = self.models.info(&name).map_err(Error::from)?;
        Ok(Arc::new(Field::new(EMBED, vector_type(info.dimension)?, true)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(Error::Invalid("embed() cannot be used in this place; compute it in a subquery".to_owned()).into())
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Embed {
    fn ideal_batch_size(&self) -> Option<usize> {
        Some(AT_ONCE)
    }

    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = |at: usize| match args.args.get(at) {
            Some(ColumnarValue::Scalar(value)) => Some(value.clone()),
            Some(ColumnarValue::Array(array)) if !array.is_empty() => ScalarValue::try_from_array(array, 0).ok(),
            _ => None,
        };
        let name = self.model(scalar(0).as_ref())?;
        let purpose = purpose(scalar(2).as_ref())?;
        let model = self.models.get(&name).await.map_err(Error::from)?;
        match args.args.get(1) {
            Some(ColumnarValue::Array(texts)) => {
                Ok(ColumnarValue::Array(Arc::new(embed(model.as_ref(), purpose, texts).await?)))
            }
            Some(ColumnarValue::Scalar(text)) => {
                let one = embed(model.as_ref(), purpose, &text.to_array_of_size(1)?).await?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&one, 0)?))
            }
            None => Err(Error::Invalid("embed() takes a text".to_owned()).into()),
        }
    }
}

/// The type of a model's vectors.
pub(crate) fn vector_type(dimension: usize) -> Result<DataType> {
    let size = i32::try_from(dimension)
        .map_err(|_| Error::Invalid(format!("a model with vectors of {dimension} numbers cannot be used")))?;
    Ok(DataType::FixedSizeList(Arc::new(Field::new("item", DataType::Float32, true)), size))
}

fn purpose(given: Option<&ScalarValue>) -> Result<Purpose> {
    match given.and_then(|value| value.try_as_str().flatten()) {
        None | Some("passage") => Ok(Purpose::Passage),
        Some("query") => Ok(Purpose::Query),
        Some(other) => {
            Err(Error::Invalid(format!("'{other}' is no purpose of a text; there are 'passage' and 'query'")).into())
        }
    }
}

/// The vectors of a column of texts: NULL where there is no text.
///
/// # Errors
/// When the model fails, and for a text that it makes no vector of, with the text's number.
pub(crate) async fn embed(model: &dyn Embedder, purpose: Purpose, texts: &ArrayRef) -> Result<FixedSizeListArray> {
    let texts = cast(texts, &DataType::Utf8)?;
    let texts = texts.as_string::<i32>();
    let there: Vec<&str> = texts.iter().flatten().collect();
    let dimension = model.info().dimension;
    let vectors = if there.is_empty() {
        Vec::new()
    } else {
        let (vectors, faults) = model.embed(purpose, &there).await.map_err(Error::from)?.into_parts();
        if let Some(fault) = faults.first() {
            return Err(Error::Invalid(format!(
                "model '{}' makes no vector of {fault}; leave such texts out, with NULLIF(trim(text), '') or a WHERE",
                model.info().name
            ))
            .into());
        }
        vectors
    };
    let values = if there.len() == texts.len() {
        vectors
    } else {
        let mut spread = Vec::with_capacity(texts.len() * dimension);
        let mut some = vectors.chunks_exact(dimension.max(1));
        for text in texts {
            match text.and_then(|_| some.next()) {
                Some(vector) => spread.extend_from_slice(vector),
                None => spread.resize(spread.len() + dimension, 0.0),
            }
        }
        spread
    };
    let DataType::FixedSizeList(item, size) = vector_type(dimension)? else { return Ok(empty()) };
    let nulls = texts.nulls().map(|nulls| NullBuffer::new(nulls.inner().clone()));
    Ok(FixedSizeListArray::try_new(item, size, Arc::new(Float32Array::from(values)), nulls)?)
}

fn empty() -> FixedSizeListArray {
    FixedSizeListArray::new_null(Arc::new(Field::new("item", DataType::Float32, true)), 1, 0)
}

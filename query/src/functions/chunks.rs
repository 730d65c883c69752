//! `text_chunks(text, size, overlap, model)`: a long text in pieces that a model can take in.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::{Array, AsArray, ListBuilder, StringBuilder},
    compute::cast,
    datatypes::{DataType, Field},
};
use datafusion::{
    error::Result,
    logical_expr::{
        ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
        scalar_doc_sections::DOC_SECTION_STRING,
    },
    scalar::ScalarValue,
};
use skein_ai::{ChunkBy, ChunkConfig, Chunker, Models};

use crate::Error;

/// The function's name.
pub(crate) const TEXT_CHUNKS: &str = "text_chunks";
/// Characters of a chunk, and how many of them the next one repeats: about as much as the usual models take in.
const SIZE: usize = 800;
const OVERLAP: usize = 80;

/// The function.
#[derive(Debug)]
pub(super) struct TextChunks {
    models: Arc<Models>,
    signature: Signature,
    documentation: Documentation,
}

impl PartialEq for TextChunks {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.models, &other.models)
    }
}

impl Eq for TextChunks {}

impl Hash for TextChunks {
    fn hash<H: Hasher>(&self, state: &mut H) {
        TEXT_CHUNKS.hash(state);
    }
}

impl TextChunks {
    pub(super) fn function(models: Arc<Models>) -> ScalarUDF {
        let description = "Cuts a text into chunks, at ends of paragraphs and sentences where it can. Each is a part of the text, none is empty.";
        let documentation =
            Documentation::builder(DOC_SECTION_STRING, description, "text_chunks(text [, size, overlap [, model]])")
                .with_sql_example(
                    "```sql\nSELECT id, embed('minilm', chunk) FROM (SELECT id, unnest(text_chunks(body)) AS chunk FROM docs)\n```",
                )
                .with_argument("text", "The text. NULL gives NULL.")
                .with_argument("size", "The largest chunk, a constant; 800 characters when left out.")
                .with_argument("overlap", "How much of a chunk the next one repeats, a constant; 80 when left out, or a tenth of the size.")
                .with_argument("model", "A model, as a constant: both are counted in its tokens instead of characters.")
                .build();
        let signature = Signature::user_defined(Volatility::Immutable);
        ScalarUDF::new_from_impl(Self { models, signature, documentation })
    }

    fn chunker(&self, args: &[ColumnarValue]) -> Result<Box<dyn Chunker>> {
        let size = number(args.get(1), "size")?;
        let overlap = number(args.get(2), "overlap")?;
        let model = match args.get(3) {
            None => None,
            Some(ColumnarValue::Scalar(value)) => value.try_as_str().flatten().map(str::to_owned),
            Some(ColumnarValue::Array(_)) => return Err(constant("model").into()),
        };
        let config = ChunkConfig {
            size: size.unwrap_or(SIZE),
            overlap: overlap.unwrap_or_else(|| size.map_or(OVERLAP, |size| size / 10)),
            by: if model.is_some() { ChunkBy::Tokens } else { ChunkBy::Characters },
            ..ChunkConfig::default()
        };
        let model = model.map(|name| self.models.loaded(&name)).transpose().map_err(Error::from)?;
        Ok(config.chunker(model).map_err(Error::from)?)
    }
}

fn constant(name: &str) -> Error {
    Error::Invalid(format!("{name} of text_chunks() must be a constant"))
}

fn number(arg: Option<&ColumnarValue>, name: &str) -> Result<Option<usize>> {
    match arg {
        None => Ok(None),
        Some(ColumnarValue::Scalar(ScalarValue::Int64(None))) => Ok(None),
        Some(ColumnarValue::Scalar(ScalarValue::Int64(Some(number)))) => match usize::try_from(*number) {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Error::Invalid(format!("{name} of text_chunks() is {number}; it cannot be negative")).into()),
        },
        Some(_) => Err(constant(name).into()),
    }
}

impl ScalarUDFImpl for TextChunks {
    fn name(&self) -> &str {
        TEXT_CHUNKS
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))))
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if !(1..=4).contains(&types.len()) {
            let found = types.len();
            return Err(Error::Invalid(format!("text_chunks() takes 1 to 4 arguments and got {found}")).into());
        }
        let wanted = [DataType::Utf8, DataType::Int64, DataType::Int64, DataType::Utf8];
        Ok(wanted.into_iter().take(types.len()).collect())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let chunker = self.chunker(&args.args)?;
        let Some(first) = args.args.first() else { return Ok(ColumnarValue::Scalar(ScalarValue::Null)) };
        let texts = cast(&first.to_array(args.number_rows)?, &DataType::Utf8)?;
        let mut lists = ListBuilder::with_capacity(StringBuilder::new(), texts.len());
        for text in texts.as_string::<i32>() {
            if let Some(text) = text {
                for chunk in chunker.chunks(text).map_err(Error::from)? {
                    lists.values().append_value(chunk.text);
                }
            }
            lists.append(text.is_some());
        }
        let lists = lists.finish();
        match first {
            ColumnarValue::Scalar(_) if lists.len() == 1 => {
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&lists, 0)?))
            }
            _ => Ok(ColumnarValue::Array(Arc::new(lists))),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

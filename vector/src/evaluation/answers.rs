//! The vectors of an evaluation set and their nearest rows, document kind `evaluation_answers`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use skein_model::FileId;

use crate::generation::hex;

/// The document kind.
pub(super) const KIND: &str = "evaluation_answers";
/// The version of the form below.
const FORMAT: u32 = 1;

/// A row of a dataset: its data file, as a place in [`Answers::files`], and its place in that, from 0.
pub type RowAt = (u32, u32);

/// The queries of a set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    format: u32,
    /// The data files that rows are in.
    pub files: Vec<FileId>,
    /// The queries.
    pub queries: Vec<EvaluationQuery>,
}

/// A query vector, and what is nearest to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationQuery {
    /// The vector. On the bucket: its numbers as float32, little-endian, in hex.
    #[serde(serialize_with = "as_hex", deserialize_with = "from_hex")]
    pub vector: Vec<f32>,
    /// The row that the vector is of. It does not count as an answer: it is found by any index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<RowAt>,
    /// The nearest rows, nearest first: `k` of them, and those as far as the last one.
    pub nearest: Vec<RowAt>,
}

impl Answers {
    /// Those of these queries.
    pub fn new(files: Vec<FileId>, queries: Vec<EvaluationQuery>) -> Self {
        Self { format: FORMAT, files, queries }
    }

    /// The data file and the place of a row; `None` for one that is in no file of the list.
    pub fn row(&self, (file, row): RowAt) -> Option<(FileId, u32)> {
        Some((*self.files.get(usize::try_from(file).ok()?)?, row))
    }
}

fn as_hex<S: Serializer>(vector: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
    let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
    serializer.serialize_str(&hex(&bytes))
}

fn from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let unreadable = || de::Error::custom("a vector that is no float32 numbers in hex");
    let (numbers, rest) = text.as_bytes().as_chunks::<8>();
    if !rest.is_empty() {
        return Err(unreadable());
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let number = |digits: &[u8; 8]| {
        let mut bits = 0_u32;
        let (bytes, _) = digits.as_chunks::<2>();
        for [high, low] in bytes.iter().rev() {
            bits = (bits << 8) | (digit(*high)? << 4) | digit(*low)?;
        }
        Some(f32::from_bits(bits)).filter(|number| number.is_finite())
    };
    numbers.iter().map(|digits| number(digits).ok_or_else(unreadable)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    fn answers() -> Answers {
        let files = vec!["01JZ0000000000000000000003".parse().unwrap(), "01JZ0000000000000000000004".parse().unwrap()];
        let query = |vector: &[f32], own, nearest: &[RowAt]| EvaluationQuery {
            vector: vector.to_vec(),
            own,
            nearest: nearest.to_vec(),
        };
        Answers::new(files, vec![query(&[1.0, -0.1], Some((0, 5)), &[(0, 7), (1, 0)]), query(&[3.5, 1e-40], None, &[])])
    }

    #[test]
    fn the_format_is_the_one_on_file() {
        golden::check("evaluation_answers", &answers());
    }

    #[test]
    fn rows_are_named_by_their_files() {
        let answers = answers();
        assert_eq!(answers.row((1, 9)), Some((answers.files[1], 9)));
        assert_eq!(answers.row((2, 0)), None);
    }

    #[test]
    fn what_is_no_vector_is_refused() {
        let read =
            |text: &str| serde_json::from_value::<EvaluationQuery>(serde_json::json!({"vector": text, "nearest": []}));
        assert_eq!(read("0000803fcdccccbd").unwrap().vector, [1.0, -0.1]);
        for bad in ["0000803", "0000803g", "0000807f", "0000c07f", "é00803f"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}

//! The two wire formats: what is sent, and what is read of the answer.

use serde::{Deserialize, Serialize};

/// Whose wire format a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// `POST {base}/embeddings` (<https://platform.openai.com/docs/api-reference/embeddings/create>).
    Openai,
    /// `POST {base}/api/embed` (<https://github.com/ollama/ollama/blob/main/docs/api.md#generate-embeddings>).
    Ollama,
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    input: &'a [&'a str],
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<usize>,
}

#[derive(Deserialize)]
struct OpenaiAnswer {
    data: Vec<OpenaiVector>,
}

#[derive(Deserialize)]
struct OpenaiVector {
    index: usize,
    embedding: Vec<f32>,
}

#[derive(Deserialize)]
struct OllamaAnswer {
    embeddings: Vec<Vec<f32>>,
}

impl Wire {
    /// The name of the provider, as in the configuration.
    pub fn provider(self) -> &'static str {
        match self {
            Self::Openai => "openai",
            Self::Ollama => "ollama",
        }
    }

    /// What is called, below the base URL.
    pub fn path(self) -> &'static str {
        match self {
            Self::Openai => "embeddings",
            Self::Ollama => "api/embed",
        }
    }

    /// The body of a request. Both formats have the same fields.
    pub fn request(self, model: &str, input: &[&str], dimensions: Option<usize>) -> Result<Vec<u8>, String> {
        serde_json::to_vec(&Request { model, input, dimensions }).map_err(|e| e.to_string())
    }

    /// The vectors of an answer to `count` texts, in the order of the texts; or what is wrong with it.
    pub fn vectors(self, body: &[u8], count: usize) -> Result<Vec<Vec<f32>>, String> {
        let unreadable = |e: serde_json::Error| {
            format!("the answer is not what a provider of kind '{}' sends: {e}", self.provider())
        };
        let vectors = match self {
            Self::Openai => in_order(serde_json::from_slice::<OpenaiAnswer>(body).map_err(unreadable)?.data)?,
            Self::Ollama => serde_json::from_slice::<OllamaAnswer>(body).map_err(unreadable)?.embeddings,
        };
        if vectors.len() == count {
            Ok(vectors)
        } else {
            Err(format!("the answer has {} vectors for {count} texts", vectors.len()))
        }
    }
}

/// Puts the vectors where their indexes say; each index has to be there once.
fn in_order(mut data: Vec<OpenaiVector>) -> Result<Vec<Vec<f32>>, String> {
    data.sort_by_key(|vector| vector.index);
    for (position, vector) in data.iter().enumerate() {
        if vector.index != position {
            return Err(format!(
                "the answer's indexes are not 0 to {}: there is {} in place of {position}",
                data.len() - 1,
                vector.index
            ));
        }
    }
    Ok(data.into_iter().map(|vector| vector.embedding).collect())
}

/// What an answer to a refused request says, in one line: OpenAI's `{"error": {"message": ...}}`, Ollama's `{"error": ...}`, or the text itself.
pub(super) fn message(body: &[u8]) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let found = json.as_ref().and_then(|json| {
        let error = json.get("error")?;
        error.get("message").and_then(|m| m.as_str()).or_else(|| error.as_str())
    });
    let text = found.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    if line.trim().is_empty() { "(it gave no reason)".to_owned() } else { line.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_are_sent_alike() {
        let body = Wire::Openai.request("m", &["a", "b\""], None).unwrap();
        assert_eq!(String::from_utf8(body).unwrap(), r#"{"model":"m","input":["a","b\""]}"#);
        let body = Wire::Ollama.request("m", &["a"], Some(256)).unwrap();
        assert_eq!(String::from_utf8(body).unwrap(), r#"{"model":"m","input":["a"],"dimensions":256}"#);
    }

    #[test]
    fn answers_are_put_in_order() {
        let body = br#"{"object": "list", "data": [{"index": 1, "embedding": [3, 4]}, {"index": 0, "embedding": [1.5, 2]}], "model": "m"}"#;
        assert_eq!(Wire::Openai.vectors(body, 2).unwrap(), [[1.5, 2.0], [3.0, 4.0]]);
        assert_eq!(Wire::Ollama.vectors(br#"{"embeddings": [[1], [2]]}"#, 2).unwrap(), [[1.0], [2.0]]);
    }

    #[test]
    fn answers_that_cannot_be_right_are_refused() {
        let twice = br#"{"data": [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [2]}]}"#;
        assert!(Wire::Openai.vectors(twice, 2).unwrap_err().contains("there is 0 in place of 1"));
        let beyond = br#"{"data": [{"index": 7, "embedding": [1]}]}"#;
        assert!(Wire::Openai.vectors(beyond, 1).unwrap_err().contains("there is 7 in place of 0"));
        assert!(Wire::Ollama.vectors(br#"{"embeddings": [[1]]}"#, 2).unwrap_err().contains("1 vectors for 2 texts"));
        for garbage in [
            "",
            "<html>",
            "{\"data\": [{\"index\": 0, \"embedding\": [null]}]}",
            "{\"data\": [{\"index\": 0, \"embedding\": [NaN]}]}",
            "[]",
        ] {
            assert!(
                Wire::Openai
                    .vectors(garbage.as_bytes(), 1)
                    .unwrap_err()
                    .contains("is not what a provider of kind 'openai' sends"),
                "{garbage}"
            );
        }
    }

    #[test]
    fn the_reason_of_a_refusal_is_found() {
        assert_eq!(message(br#"{"error": {"message": "no such model", "type": "x"}}"#), "no such model");
        assert_eq!(message(br#"{"error": "model not found"}"#), "model not found");
        assert_eq!(message(b"<html>\nBad Gateway"), "<html> Bad Gateway");
        assert_eq!(message(b""), "(it gave no reason)");
        assert_eq!(message(&[b'x'; 5000]).len(), 300);
    }
}

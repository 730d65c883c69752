//! The bodies of actions. A body that is empty or starts with `{` is JSON and is answered in JSON, so that a client needs no generated
//! code; anything else is protobuf and is answered in protobuf. (No protobuf message of ours starts with `{`: that byte would open a group.)

use bytes::Bytes;
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, Result};

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEncoding {
    /// A JSON object with the proto's field names.
    Json,
    /// A protobuf message.
    Protobuf,
}

/// Reads a request, and tells how to write the response.
///
/// # Errors
/// [`Error::Body`] when the bytes are neither form of `T`; unknown JSON fields are refused.
pub fn decode<T: Message + Default + DeserializeOwned>(body: &[u8]) -> Result<(T, BodyEncoding)> {
    let message = message_name::<T>();
    match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => Ok((T::default(), BodyEncoding::Json)),
        Some(b'{') => serde_json::from_slice(body)
            .map(|request| (request, BodyEncoding::Json))
            .map_err(|error| Error::Body { message, encoding: "JSON", reason: error.to_string() }),
        Some(_) => T::decode(body).map(|request| (request, BodyEncoding::Protobuf)).map_err(|error| Error::Body {
            message,
            encoding: "protobuf",
            reason: error.to_string(),
        }),
    }
}

/// Writes a response.
///
/// # Errors
/// [`Error::Encode`]: a message that JSON cannot hold.
pub fn encode<T: Message + Serialize>(response: &T, encoding: BodyEncoding) -> Result<Bytes> {
    match encoding {
        BodyEncoding::Protobuf => Ok(response.encode_to_vec().into()),
        BodyEncoding::Json => serde_json::to_vec(response)
            .map(Bytes::from)
            .map_err(|error| Error::Encode { message: message_name::<T>(), reason: error.to_string() }),
    }
}

/// `DatasetDropRequest` of `skein_proto::v1::DatasetDropRequest`.
fn message_name<T>() -> &'static str {
    std::any::type_name::<T>().rsplit("::").next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use skein_model::{ErrorKind, Kind as _};

    use super::*;
    use crate::v1::{DatasetDropRequest, DatasetDropResponse, TokenCreateRequest};

    #[test]
    fn json_is_answered_in_json_and_protobuf_in_protobuf() {
        let (request, encoding) = decode::<DatasetDropRequest>(br#" {"dataset": "t", "if_exists": true}"#).unwrap();
        assert_eq!((request.dataset.as_str(), request.if_exists, encoding), ("t", true, BodyEncoding::Json));
        let answer = encode(&DatasetDropResponse { dropped: true }, encoding).unwrap();
        assert_eq!(answer, r#"{"dropped":true}"#);

        let (again, encoding) = decode::<DatasetDropRequest>(&request.encode_to_vec()).unwrap();
        assert_eq!((again, encoding), (request, BodyEncoding::Protobuf));
        assert_eq!(encode(&DatasetDropResponse { dropped: true }, encoding).unwrap().as_ref(), [8, 1]);
    }

    #[test]
    fn an_empty_body_is_the_default_request() {
        let (request, encoding) = decode::<TokenCreateRequest>(b"").unwrap();
        assert_eq!((request.expires_in_seconds, encoding), (None, BodyEncoding::Json));
    }

    #[test]
    fn a_wrong_body_says_which_message_and_why() {
        let error = decode::<DatasetDropRequest>(br#"{"datset": "t"}"#).unwrap_err();
        assert!(error.to_string().contains("DatasetDropRequest") && error.to_string().contains("datset"), "{error}");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(decode::<DatasetDropRequest>(b"\xff\xff\xff").is_err());
        assert!(decode::<DatasetDropRequest>(br#"{"dataset": 1}"#).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), brace in any::<bool>()) {
            let body = if brace { [b"{".as_slice(), &bytes].concat() } else { bytes };
            let _ = decode::<DatasetDropRequest>(&body);
            let _ = decode::<TokenCreateRequest>(&body);
        }
    }
}

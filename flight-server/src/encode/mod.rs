//! The send path of DoGet: record batches become gRPC frames without their buffers being copied.
//!
//! tonic's codec would copy every buffer twice, once into an IPC body and once into a gRPC message. Here a
//! message is a short header (gRPC prefix, protobuf keys, Arrow metadata) followed by the Arrow buffers
//! themselves, handed to HTTP/2 as reference-counted [`Bytes`]. `docs/decisions/0004-zero-copy-send.md` has the
//! measurements.
//!
//! The pipeline, one file each: [`batch`] turns a batch into a header and body parts, [`frame`] wraps those in
//! gRPC and protobuf framing, [`producer`] runs a stream through both in its own task, [`body`] is the HTTP body.
//!
//! [`Bytes`]: bytes::Bytes

mod batch;
mod body;
mod frame;
mod parts;
mod producer;

use arrow_ipc::CompressionType;
use skein_query::{Compression, Delivery};

pub use body::body;

/// How a stream of batches is put on the wire.
#[derive(Debug, Clone)]
pub struct EncodeOptions {
    /// A batch whose body as it is sent exceeds this many bytes is split by rows. One row is never split.
    pub max_body_bytes: usize,
    /// A batch of more rows is split.
    pub max_rows: usize,
    /// Compress message bodies. Most JDBC drivers cannot read compressed bodies.
    pub compression: Option<CompressionType>,
}

impl EncodeOptions {
    /// Below tonic's default decoding limit of 4 MiB, so that any client can read it.
    pub const SAFE_BODY_BYTES: usize = 2 << 20;
    /// Below the 16 MiB message limit of ADBC's Go drivers. Clients of the Arrow C++ library have no limit, and read messages of this size
    /// faster than larger ones.
    pub const LARGE_BODY_BYTES: usize = 8 << 20;

    /// The options that suit the client which sent this `user-agent` header.
    ///
    /// Arrow's C++ Flight client (pyarrow) reports itself as `grpc-c++/…`, ADBC's Go driver as `grpc-go/…` behind its own
    /// name, and JDBC as `grpc-java-…`.
    pub fn for_user_agent(user_agent: Option<&str>) -> Self {
        let max_body_bytes = match user_agent {
            Some(agent) if ["grpc-c++", "grpc-go", "grpc-java"].iter().any(|name| agent.contains(name)) => {
                Self::LARGE_BODY_BYTES
            }
            _ => Self::SAFE_BODY_BYTES,
        };
        Self { max_body_bytes, ..Self::default() }
    }

    /// The same options with what a call asks for.
    #[must_use]
    pub fn asked_for(self, delivery: &Delivery) -> Self {
        Self {
            max_body_bytes: delivery.message_bytes.unwrap_or(self.max_body_bytes),
            max_rows: delivery.message_rows.unwrap_or(self.max_rows),
            compression: match delivery.compression {
                Compression::None => None,
                Compression::Lz4 => Some(CompressionType::LZ4_FRAME),
                Compression::Zstd => Some(CompressionType::ZSTD),
            },
        }
    }
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self { max_body_bytes: Self::SAFE_BODY_BYTES, max_rows: usize::MAX, compression: None }
    }
}

#[cfg(test)]
mod tests;

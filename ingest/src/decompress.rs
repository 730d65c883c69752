//! Compression of a whole file, told by its first bytes.

use std::io::{self, BufReader, Read};

use crate::{Error, FileCompression, Result, peek::Peek};

/// Enough bytes to tell every compression.
pub(crate) const MAGIC_BYTES: usize = 10;
const BUFFER: usize = 128 << 10;
/// Memory an xz file may ask for; `xz -9` needs 65 MiB.
const XZ_MEMORY: u64 = 256 << 20;

/// The compression that a file with this beginning has.
pub(crate) fn detect(head: &[u8]) -> FileCompression {
    match head {
        [0x1f, 0x8b, ..] => FileCompression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => FileCompression::Zstd,
        // `BZh`, a level, and the first block's magic number, or the end's for an empty file.
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
        | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => FileCompression::Bzip2,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => FileCompression::Xz,
        _ => FileCompression::None,
    }
}

/// The file without its compression. Never holds more than a window of it.
///
/// # Errors
/// When the first bytes cannot be read or the decoder cannot be set up.
pub(crate) fn decompress(
    mut body: Peek<impl Read + Send + 'static>,
    asked: Option<FileCompression>,
    file: &str,
) -> Result<Box<dyn Read + Send>> {
    let head = body.peek(MAGIC_BYTES).map_err(|error| Error::from_io(file, error))?;
    if head.is_empty() {
        return Err(Error::file(file, "the file is empty (0 bytes); there is nothing to read"));
    }
    let compression = asked.unwrap_or_else(|| detect(head));
    let body = BufReader::with_capacity(BUFFER, body);
    let (name, plain): (_, Box<dyn Read + Send>) = match compression {
        FileCompression::None => return Ok(Box::new(body)),
        FileCompression::Gzip => ("gzip", Box::new(flate2::bufread::MultiGzDecoder::new(body))),
        FileCompression::Bzip2 => ("bzip2", Box::new(bzip2::bufread::MultiBzDecoder::new(body))),
        FileCompression::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(body);
            ("zstd", Box::new(decoder.map_err(|error| Error::from_io(file, error))?))
        }
        FileCompression::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)
                .map_err(|error| Error::file(file, format!("the xz decoder cannot be set up: {error}")))?;
            ("xz", Box::new(liblzma::bufread::XzDecoder::new_stream(body, stream)))
        }
    };
    Ok(Box::new(Explained { plain, name, file: file.to_owned() }))
}

/// Says what was being decompressed when a decoder fails.
struct Explained<R> {
    plain: R,
    name: &'static str,
    file: String,
}

impl<R: Read> Read for Explained<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.plain.read(buffer).map_err(|error| {
            if error.kind() == io::ErrorKind::Interrupted {
                return error;
            }
            if error.get_ref().is_some_and(|inner| inner.is::<crate::error::Carried>()) {
                return error;
            }
            let name = self.name;
            let message = match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    format!("the {name} data ends too early; the file is cut off, send it whole")
                }
                _ if error.to_string().contains("incomplete frame") => {
                    format!("the {name} data ends too early; the file is cut off, send it whole")
                }
                _ => format!("the {name} data is damaged ({error}); send the file again, or check how it was made"),
            };
            Error::file(&self.file, message).into_io()
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use super::*;

    /// `plain` in each compression.
    pub(crate) fn compressed(plain: &[u8]) -> Vec<(FileCompression, Vec<u8>)> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(plain).unwrap();
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(plain).unwrap();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(plain).unwrap();
        vec![
            (FileCompression::None, plain.to_vec()),
            (FileCompression::Gzip, gzip.finish().unwrap()),
            (FileCompression::Bzip2, bzip2.finish().unwrap()),
            (FileCompression::Xz, xz.finish().unwrap()),
            (FileCompression::Zstd, zstd::encode_all(plain, 1).unwrap()),
        ]
    }

    fn read(bytes: Vec<u8>, asked: Option<FileCompression>) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut plain = decompress(Peek::new(io::Cursor::new(bytes)), asked, "f")?;
        plain.read_to_end(&mut out).map_err(|error| Error::from_io("f", error))?;
        Ok(out)
    }

    #[test]
    fn every_compression_is_told_by_content_and_read() {
        let plain = b"a,b\n1,2\n".repeat(1000);
        for (compression, bytes) in compressed(&plain) {
            assert_eq!(detect(&bytes), compression);
            assert_eq!(read(bytes.clone(), None).unwrap(), plain, "{compression:?}");
            let twice = [bytes.clone(), bytes].concat();
            assert_eq!(read(twice, None).unwrap().len(), 2 * plain.len(), "{compression:?} concatenated");
        }
        for (compression, bytes) in compressed(b"") {
            if compression != FileCompression::None {
                assert_eq!(detect(&bytes), compression);
                assert_eq!(read(bytes, None).unwrap(), b"");
            }
        }
    }

    #[test]
    fn cut_off_and_damaged_files_say_so() {
        let plain: Vec<u8> = (0..50_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for (compression, bytes) in compressed(&plain).into_iter().skip(1) {
            let cut = bytes[..bytes.len() / 2].to_vec();
            let error = read(cut, None).unwrap_err().to_string();
            assert!(error.contains("cut off"), "{compression:?}: {error}");
            let trailing = [bytes.clone(), b"garbage garbage".to_vec()].concat();
            assert!(read(trailing, None).is_err(), "{compression:?} with trailing garbage");
            if compression == FileCompression::Zstd {
                continue; // has no checksum unless the writer asks for one
            }
            let mut flipped = bytes;
            let middle = flipped.len() / 2;
            flipped[middle] ^= 0xff;
            flipped[middle + 1] ^= 0xff;
            assert!(read(flipped, None).is_err(), "{compression:?} with flipped bits");
        }
    }

    #[test]
    fn nothing_and_the_wrong_thing_are_errors() {
        assert!(read(Vec::new(), None).unwrap_err().to_string().contains("empty (0 bytes)"));
        let error = read(b"plain text".to_vec(), Some(FileCompression::Gzip)).unwrap_err().to_string();
        assert!(error.contains("gzip data is damaged"), "{error}");
    }

    #[test]
    fn plain_text_that_begins_like_bzip2_is_plain_text() {
        assert_eq!(detect(b"BZh9 is a magic number"), FileCompression::None);
    }
}

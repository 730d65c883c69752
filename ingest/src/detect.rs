//! The format of a file, told by its first bytes.

use crate::{Error, FileFormat, Result};

/// Enough bytes to tell every format, white space before JSON included.
pub(crate) const HEAD_BYTES: usize = 4096;

/// Formats that Skein does not read, so that they are not taken for text.
const FOREIGN: &[(&[u8], &str, &str)] = &[
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook", "unpack it or save it as CSV"),
    (b"ORC", "an ORC file", "convert it to Parquet"),
    (b"Obj\x01", "an Avro file", "convert it to Parquet"),
    (b"FEA1", "a Feather file of version 1", "write it as version 2 (Arrow IPC)"),
    (b"SQLite format 3\0", "an SQLite database", "export its tables as CSV"),
    (b"%PDF", "a PDF document", "only tables can be put into a table"),
    (b"\x89HDF", "an HDF5 file", "convert it to Parquet"),
    (b"PARE", "a Parquet file with an encrypted footer", "write it without encryption"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "save it as CSV"),
    (b"7z\xbc\xaf", "a 7-Zip archive", "unpack it"),
];

/// The format of a file that begins with `head`, after decompression.
///
/// # Errors
/// For an empty file, and for one of a format that is known but not read.
pub(crate) fn detect(head: &[u8], file_name: &str) -> Result<FileFormat> {
    if head.is_empty() {
        return Err(Error::file(file_name, "there is nothing in it after decompression; there is nothing to read"));
    }
    if let Some((_, what, advice)) = FOREIGN.iter().find(|(magic, _, _)| head.starts_with(magic)) {
        return Err(Error::file(file_name, format!("this is {what}, which Skein does not read; {advice}")));
    }
    if head.starts_with(b"PAR1") {
        return Ok(FileFormat::Parquet);
    }
    if head.starts_with(b"ARROW1") || is_arrow_stream(head) {
        return Ok(FileFormat::Arrow);
    }
    Ok(if is_json(head) { FileFormat::Json } else { FileFormat::Csv })
}

/// A continuation marker and the length of a message, which is a multiple of 8.
fn is_arrow_stream(head: &[u8]) -> bool {
    matches!(head, [0xff, 0xff, 0xff, 0xff, length, _, _, high, ..] if length % 8 == 0 && *high < 0x10)
}

/// An object, or an array that begins with an object or with nothing. `[1,2]` or `{x}` may well be CSV.
fn is_json(head: &[u8]) -> bool {
    let text = without_bom(head);
    let mut tokens = text.iter().copied().filter(|b| !b.is_ascii_whitespace() && *b != 0);
    matches!(
        (tokens.next(), tokens.next()),
        (Some(b'{'), Some(b'"' | b'}')) | (Some(b'['), Some(b'{' | b']')) | (Some(b'{' | b'['), None)
    )
}

fn without_bom(head: &[u8]) -> &[u8] {
    match head {
        [0xef, 0xbb, 0xbf, rest @ ..] | [0xff, 0xfe, rest @ ..] | [0xfe, 0xff, rest @ ..] => rest,
        _ => head,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides() {
        for (head, format) in [
            (&b"PAR1\x15\x04"[..], FileFormat::Parquet),
            (b"ARROW1\0\0", FileFormat::Arrow),
            (b"\xff\xff\xff\xff\x78\0\0\0\x10\0\0\0", FileFormat::Arrow),
            (b"{\"a\": 1}\n", FileFormat::Json),
            (b"\xef\xbb\xbf  \n[ {\"a\": 1}]", FileFormat::Json),
            (b"\xff\xfe{\0\"\0a\0", FileFormat::Json),
            (b"[]", FileFormat::Json),
            (b"a,b\n1,2\n", FileFormat::Csv),
            (b"[1],2\n", FileFormat::Csv),
            (b"\xff\xfea\0,\0", FileFormat::Csv),
        ] {
            assert_eq!(detect(head, "f").unwrap(), format, "{head:?}");
        }
    }

    #[test]
    fn foreign_formats_are_named() {
        let error = detect(b"PK\x03\x04rest", "book.xlsx").unwrap_err().to_string();
        assert!(error.contains("book.xlsx") && error.contains("Excel"), "{error}");
        assert!(detect(b"", "f").unwrap_err().to_string().contains("nothing"));
    }
}

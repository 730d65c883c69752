//! Text in any encoding becomes UTF-8.

use std::io::{self, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

use crate::{Error, Result, peek::Peek};

/// Bytes that are looked at to guess an encoding. Where UTF-8 is broken only behind them, the row is reported.
const GUESS_BYTES: usize = 1 << 20;
const BUFFER: usize = 64 << 10;

/// UTF-8 without a byte order mark from `plain`, which is in the encoding `asked` for, or else in the one that its byte
/// order mark or its bytes suggest. Text that is UTF-8 already passes unchanged and unchecked.
///
/// # Errors
/// For an unknown encoding, and for bytes that are no text.
pub(crate) fn to_utf8(
    mut plain: Peek<Box<dyn Read + Send>>,
    asked: Option<&str>,
    file: &str,
) -> Result<Peek<Box<dyn Read + Send>>> {
    let head = plain.peek(GUESS_BYTES).map_err(|error| Error::from_io(file, error))?;
    let bom = Encoding::for_bom(head);
    let encoding = match (asked, bom) {
        (Some(label), _) => Encoding::for_label(label.as_bytes()).ok_or_else(|| unknown(label))?,
        (None, Some((encoding, _))) => encoding,
        (None, None) => guess(head, file)?,
    };
    if let Some((marked, length)) = bom
        && marked == encoding
    {
        plain.skip(length);
    }
    if encoding == UTF_8 {
        return Ok(plain);
    }
    tracing::debug!(encoding = encoding.name(), "text is converted to UTF-8");
    Ok(Peek::new(Box::new(Transcoder::new(plain, encoding, file))))
}

fn unknown(label: &str) -> Error {
    Error::option(
        "csv.encoding",
        format!("'{label}' is not an encoding; use a WHATWG name such as utf-8, utf-16le, windows-1252 or shift_jis"),
    )
}

fn guess(head: &[u8], file: &str) -> Result<&'static Encoding> {
    if head.contains(&0) {
        return utf16_without_mark(head).ok_or_else(|| {
            Error::file(file, "this is neither text nor a format Skein reads (it holds NUL bytes); check the file")
        });
    }
    match std::str::from_utf8(head) {
        Ok(_) => Ok(UTF_8),
        // A character that is cut in two by the end of the sample.
        Err(error) if error.error_len().is_none() => Ok(UTF_8),
        Err(_) => {
            let mut detector = chardetng::EncodingDetector::new();
            detector.feed(head, false);
            Ok(detector.guess(None, false))
        }
    }
}

/// Western text in UTF-16 has a NUL in nearly every other place.
fn utf16_without_mark(head: &[u8]) -> Option<&'static Encoding> {
    let pairs = head.len() / 2;
    let zeros = |first: usize| head.iter().skip(first).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    if odd * 10 > pairs * 7 && even * 10 < pairs {
        Some(UTF_16LE)
    } else if even * 10 > pairs * 7 && odd * 10 < pairs {
        Some(UTF_16BE)
    } else {
        None
    }
}

/// Decodes as it is read.
struct Transcoder<R> {
    source: R,
    decoder: Decoder,
    name: &'static str,
    file: String,
    input: Vec<u8>,
    /// The part of `input` that is still to be decoded.
    pending: std::ops::Range<usize>,
    output: Vec<u8>,
    /// The part of `output` that is still to be handed out.
    ready: std::ops::Range<usize>,
    lines: u64,
    ended: bool,
    finished: bool,
}

impl<R: Read> Transcoder<R> {
    fn new(source: R, encoding: &'static Encoding, file: &str) -> Self {
        Self {
            source,
            decoder: encoding.new_decoder_without_bom_handling(),
            name: encoding.name(),
            file: file.to_owned(),
            input: vec![0; BUFFER],
            pending: 0..0,
            output: vec![0; BUFFER * 2],
            ready: 0..0,
            lines: 0,
            ended: false,
            finished: false,
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        while self.ready.is_empty() && !self.finished {
            if self.pending.is_empty() && !self.ended {
                let read = self.source.read(&mut self.input)?;
                self.ended = read == 0;
                self.pending = 0..read;
            }
            let source = self.input.get(self.pending.clone()).unwrap_or_default();
            let (result, read, written) =
                self.decoder.decode_to_utf8_without_replacement(source, &mut self.output, self.ended);
            self.pending.start += read;
            self.ready = 0..written;
            self.lines += crate::chunk::count_lines(&self.output[..written], b'\n');
            match result {
                DecoderResult::InputEmpty => self.finished = self.ended,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(_, _) => return Err(self.malformed()),
            }
        }
        Ok(())
    }

    fn malformed(&self) -> io::Error {
        let (line, name) = (self.lines + 1, self.name);
        let message =
            format!("line {line}: these bytes are not valid {name}; name the file's encoding in csv.encoding");
        Error::file(&self.file, message).into_io()
    }
}

impl<R: Read> Read for Transcoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill()?;
        let ready = self.output.get(self.ready.clone()).unwrap_or_default();
        let count = ready.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ready[..count]);
        self.ready.start += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(bytes: Vec<u8>, asked: Option<&str>) -> Result<String> {
        let plain = Peek::new(Box::new(io::Cursor::new(bytes)) as Box<dyn Read + Send>);
        let mut out = String::new();
        to_utf8(plain, asked, "f.csv")?.read_to_string(&mut out).map_err(|e| Error::from_io("f.csv", e))?;
        Ok(out)
    }

    fn utf16(text: &str, big: bool, mark: bool) -> Vec<u8> {
        let units = mark.then_some(0xfeff).into_iter().chain(text.encode_utf16());
        units.flat_map(|u| if big { u.to_be_bytes() } else { u.to_le_bytes() }).collect()
    }

    #[test]
    fn marks_are_obeyed_and_removed() {
        let text = "näme,ort\nJürgen,Köln\n🪿,\n";
        assert_eq!(convert([b"\xef\xbb\xbf", text.as_bytes()].concat(), None).unwrap(), text);
        assert_eq!(convert(utf16(text, false, true), None).unwrap(), text);
        assert_eq!(convert(utf16(text, true, true), None).unwrap(), text);
    }

    #[test]
    fn encodings_without_a_mark_are_guessed() {
        let text = "name,ort\nJürgen,Köln\nGünther,Düsseldorf\n".repeat(20);
        assert_eq!(convert(text.clone().into_bytes(), None).unwrap(), text);
        let (latin, _, _) = encoding_rs::WINDOWS_1252.encode(&text);
        assert_eq!(convert(latin.to_vec(), None).unwrap(), text);
        assert_eq!(convert(utf16(&text, false, false), None).unwrap(), text);
        assert_eq!(convert(utf16(&text, true, false), None).unwrap(), text);
        let japanese = "名前,都市\n太郎,東京\n花子,大阪です。\n".repeat(20);
        let (sjis, _, _) = encoding_rs::SHIFT_JIS.encode(&japanese);
        assert_eq!(convert(sjis.to_vec(), None).unwrap(), japanese);
    }

    #[test]
    fn an_encoding_can_be_named() {
        let (greek, _, _) = encoding_rs::ISO_8859_7.encode("αβγ");
        assert_eq!(convert(greek.to_vec(), Some("iso-8859-7")).unwrap(), "αβγ");
        assert!(convert(vec![b'a'], Some("klingon")).unwrap_err().to_string().contains("'klingon'"));
    }

    #[test]
    fn broken_text_is_told_by_line() {
        let mut bytes = utf16("a\nb\n", false, true);
        bytes.extend([0x00, 0xd8, b'x', 0x00]); // half of a surrogate pair
        let error = convert(bytes, None).unwrap_err().to_string();
        assert!(error.contains("line 3") && error.contains("UTF-16LE"), "{error}");
    }

    #[test]
    fn binary_data_is_not_text() {
        let error = convert(vec![1, 0, 0, 0, 7, 0, 0, 0, 1, 2, 3], None).unwrap_err().to_string();
        assert!(error.contains("neither text nor"), "{error}");
    }
}

//! Where JSON records end.

use std::collections::VecDeque;

use crate::chunk::Boundary;

/// How deep values may be nested; deeper ones are attacks or mistakes.
const MAX_DEPTH: usize = 100;

/// How records follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// One per line. A line that is no JSON spoils nothing but itself.
    Lines,
    /// One after the other, over any number of lines.
    Sequence,
    /// In one array.
    Array,
}

/// The layout of a text that begins with `head`.
pub(super) fn layout(head: &[u8]) -> Layout {
    let text = head.trim_ascii_start();
    if text.first() == Some(&b'[') {
        return Layout::Array;
    }
    let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let (first, second) = (lines.next().unwrap_or_default(), lines.next());
    match serde_json::from_slice::<serde::de::IgnoredAny>(first) {
        Ok(_) => Layout::Lines,
        // The first line is cut off by the end of the sample, or goes on in the next one.
        Err(error) if error.is_eof() => match second {
            Some(second)
                if serde_json::from_slice::<serde::de::IgnoredAny>(second).is_ok() && second.starts_with(b"{") =>
            {
                Layout::Lines
            }
            Some(_) => Layout::Sequence,
            None => Layout::Sequence,
        },
        // Several values on the first line.
        Err(_)
            if serde_json::Deserializer::from_slice(first).into_iter::<serde::de::IgnoredAny>().all(|v| v.is_ok()) =>
        {
            Layout::Sequence
        }
        Err(_) => Layout::Lines,
    }
}

/// The end of every record in `text`; separators are blanked out. Stops where the text is no JSON.
pub(super) fn record_ends(layout: Layout, text: &mut [u8], whole: bool) -> Vec<usize> {
    let mut ends = VecDeque::new();
    let _ = JsonBoundary::new(layout, 1).scan(text, 0, &mut ends);
    let last = ends.back().copied().unwrap_or(0);
    let rest = text.get(last..).unwrap_or_default();
    if whole && layout == Layout::Lines && !rest.trim_ascii().is_empty() {
        ends.push_back(text.len());
    }
    ends.into()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the array.
    Start,
    /// Where a value or the array's end may follow.
    FirstValue,
    /// Where a value must follow.
    NextValue,
    /// In an object, array or string.
    Value,
    /// In a number, `true`, `false` or `null`.
    Word,
    /// Behind a value.
    AfterValue,
    /// Behind the array.
    End,
}

/// Follows strings and brackets, nothing else: what is between them is for the decoder to judge.
#[derive(Debug)]
pub(super) struct JsonBoundary {
    layout: Layout,
    max_rows: usize,
    state: State,
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// Records since the last cut.
    rows: usize,
}

impl JsonBoundary {
    /// Chunks shall not hold more than `max_rows` records.
    pub(super) fn new(layout: Layout, max_rows: usize) -> Self {
        let state = if layout == Layout::Array { State::Start } else { State::FirstValue };
        Self { layout, max_rows, state, depth: 0, in_string: false, escaped: false, rows: 0 }
    }

    fn lines(&mut self, buffer: &[u8], from: usize, cuts: &mut VecDeque<usize>) {
        let mut last = None;
        for offset in memchr::memchr_iter(b'\n', buffer.get(from..).unwrap_or_default()) {
            let end = from + offset + 1;
            self.rows += 1;
            last = Some(end);
            if self.rows >= self.max_rows {
                self.cut(end, cuts);
            }
        }
        self.cut_at_last(last, cuts);
    }

    fn cut(&mut self, end: usize, cuts: &mut VecDeque<usize>) {
        cuts.push_back(end);
        self.rows = 0;
    }

    fn cut_at_last(&mut self, last: Option<usize>, cuts: &mut VecDeque<usize>) {
        if let Some(end) = last
            && cuts.back() != Some(&end)
        {
            self.cut(end, cuts);
        }
    }

    /// Goes on in a string; the offset behind what was looked at.
    fn string(&mut self, buffer: &[u8], at: usize) -> usize {
        if self.escaped {
            self.escaped = false;
            return at + 1;
        }
        let Some(offset) = memchr::memchr2(b'"', b'\\', buffer.get(at..).unwrap_or_default()) else {
            return buffer.len();
        };
        match buffer.get(at + offset) {
            Some(b'"') => self.in_string = false,
            _ => self.escaped = true,
        }
        at + offset + 1
    }

    /// One byte outside strings. True when a value ended with it; `Word` values end before it.
    fn byte(&mut self, byte: &mut u8) -> Result<Option<Ended>, String> {
        match self.state {
            State::Value => self.value_byte(*byte),
            State::Word if !matches!(byte, b',' | b']' | b'}' | b'{' | b'[') && !byte.is_ascii_whitespace() => Ok(None),
            State::Word => {
                self.state = State::AfterValue;
                self.byte(byte)?;
                Ok(Some(Ended::Before))
            }
            _ if byte.is_ascii_whitespace() => Ok(None),
            State::Start if *byte == b'[' => self.separator(byte, State::FirstValue),
            State::AfterValue if self.layout == Layout::Array => match *byte {
                b',' => self.separator(byte, State::NextValue),
                b']' => self.separator(byte, State::End),
                other => Err(format!("expected ',' or ']' behind an element, found '{}'", shown(other))),
            },
            State::FirstValue if self.layout == Layout::Array && *byte == b']' => self.separator(byte, State::End),
            State::FirstValue | State::NextValue | State::AfterValue => self.begin(*byte),
            State::Start => Err(format!("expected '[', found '{}'", shown(*byte))),
            State::End => Err(format!("expected nothing behind the array, found '{}'", shown(*byte))),
        }
    }

    fn separator(&mut self, byte: &mut u8, next: State) -> Result<Option<Ended>, String> {
        *byte = b' ';
        self.state = next;
        Ok(None)
    }

    fn begin(&mut self, byte: u8) -> Result<Option<Ended>, String> {
        match byte {
            b',' | b']' | b'}' | b':' => return Err(format!("expected a value, found '{}'", shown(byte))),
            b'{' | b'[' => {
                self.depth = 1;
                self.state = State::Value;
            }
            b'"' => {
                self.in_string = true;
                self.state = State::Value;
            }
            _ => self.state = State::Word,
        }
        Ok(None)
    }

    fn value_byte(&mut self, byte: u8) -> Result<Option<Ended>, String> {
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => {
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return Err(format!("values are nested more than {MAX_DEPTH} deep"));
                }
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    self.state = State::AfterValue;
                    return Ok(Some(Ended::Behind));
                }
            }
            _ => {}
        }
        Ok(None)
    }

    fn structure(&mut self, buffer: &mut [u8], from: usize, cuts: &mut VecDeque<usize>) -> Result<(), (usize, String)> {
        let (mut at, mut last) = (from, None);
        while at < buffer.len() {
            let mut end = None;
            if self.in_string {
                at = self.string(buffer, at);
                if !self.in_string && self.depth == 0 {
                    self.state = State::AfterValue;
                    end = Some(at);
                }
            } else {
                let ended = buffer.get_mut(at).map_or(Ok(None), |byte| self.byte(byte)).map_err(|why| (at, why))?;
                end = ended.map(|ended| if ended == Ended::Behind { at + 1 } else { at }).or(end);
                at += 1;
            }
            if let Some(end) = end {
                self.rows += 1;
                last = Some(end);
                if self.rows >= self.max_rows {
                    self.cut(end, cuts);
                }
            }
        }
        self.cut_at_last(last, cuts);
        Ok(())
    }
}

/// Where a value ended: behind the byte that was looked at, or before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Behind,
    Before,
}

impl Boundary for JsonBoundary {
    fn scan(&mut self, buffer: &mut [u8], from: usize, cuts: &mut VecDeque<usize>) -> Result<(), (usize, String)> {
        if self.layout == Layout::Lines {
            self.lines(buffer, from, cuts);
            return Ok(());
        }
        self.structure(buffer, from, cuts)
    }

    fn finish(&mut self) -> Result<(), String> {
        let what = match (self.layout, self.state) {
            (Layout::Lines, _) => return Ok(()),
            (_, State::Value) => "an object",
            (Layout::Array, State::End) | (Layout::Sequence, _) => return Ok(()),
            (Layout::Array, _) => "the array",
        };
        Err(format!("the file ends inside {what} that begins or goes on here; it is cut off, send it whole"))
    }
}

fn shown(byte: u8) -> String {
    char::from(byte).escape_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Result, chunk::*};

    fn chunks(layout: Layout, text: &str, chunk_bytes: usize, rows: usize) -> Result<Vec<String>> {
        let limits = ChunkLimits { chunk_bytes, max_record_bytes: 1 << 20, newline: b'\n' };
        let mut chunker = Chunker::new(text.as_bytes(), JsonBoundary::new(layout, rows), "f.json", limits);
        let text = |chunk: Chunk| String::from_utf8(chunk.data.to_vec()).unwrap().trim().to_owned();
        std::iter::from_fn(|| chunker.next().transpose()).map(|chunk| chunk.map(text)).collect()
    }

    #[test]
    fn layouts_are_told_apart() {
        assert_eq!(layout(b" \n[{\"a\":1}]"), Layout::Array);
        assert_eq!(layout(b"{\"a\":1}\n{\"a\":2}\n"), Layout::Lines);
        assert_eq!(layout(b"{\"a\":1}"), Layout::Lines);
        assert_eq!(layout(b"{\n  \"a\": 1\n}\n{\n  \"a\": 2\n}\n"), Layout::Sequence);
        assert_eq!(layout(b"{\"a\":1} {\"a\":2}"), Layout::Sequence);
        assert_eq!(layout(b"{\"a\":1\n{\"a\":2}\n"), Layout::Lines, "a broken first line");
        assert_eq!(layout(b"{\"a\":x}\n{\"a\":2}\n"), Layout::Lines);
    }

    #[test]
    fn array_elements_become_records_at_any_cut() {
        let text = "\n[ {\"a\": \"],}\\\"\"} ,\n{\"b\":[1,{\"c\":[]}]},\n {} , 5, \"x,y\" ]\n ";
        for size in 1..text.len() {
            let parts = chunks(Layout::Array, text, size, 1).unwrap();
            assert_eq!(parts, ["{\"a\": \"],}\\\"\"}", "{\"b\":[1,{\"c\":[]}]}", "{}", "5", "\"x,y\""], "{size}");
        }
        assert!(chunks(Layout::Array, "[]", 1, 1).unwrap().is_empty());
        assert!(chunks(Layout::Array, " [ \n ] ", 3, 1).unwrap().is_empty());
    }

    #[test]
    fn rows_per_chunk_are_bounded() {
        let text = "{}\n".repeat(10);
        assert_eq!(chunks(Layout::Lines, &text, 1000, 4).unwrap().len(), 3);
        assert_eq!(chunks(Layout::Sequence, &text, 1000, 4).unwrap().len(), 3);
    }

    #[test]
    fn arrays_that_are_none_are_told_by_line() {
        for (text, expected) in [
            ("[{}\n{}]", "line 2: expected ',' or ']' behind an element, found '{'"),
            ("[{},\n,{}]", "line 2: expected a value, found ','"),
            ("[{},]", "expected a value, found ']'"),
            ("[{}]\n]", "line 2: expected nothing behind the array"),
            ("[{},\n{\"a\":1", "ends inside an object"),
            ("[{},\n{\"a\":1}", "ends inside the array"),
            (&format!("[{}", "[".repeat(200)), "nested more than 100 deep"),
        ] {
            for size in [1, 1000] {
                let error = chunks(Layout::Array, text, size, 10).unwrap_err().to_string();
                assert!(error.contains(expected), "{text}: {error}");
            }
        }
    }
}

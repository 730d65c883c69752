//! Keys that an object has twice. Which of the two values was meant nobody can know (RFC 8259, section 4, calls what readers do with
//! them unpredictable), so one of them would be lost in silence. Spark and polars keep the last, DuckDB refuses such objects; here
//! they are rows that cannot be read, so that whoever has them decides.

use std::{borrow::Cow, collections::HashSet};

/// Up to so many keys are compared with each other, more by their hashes.
const FEW: usize = 12;

/// A key that an object has twice.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Duplicate {
    /// The key, after those that lead to it.
    pub(super) path: String,
    /// Where the second one begins, in bytes.
    pub(super) at: usize,
}

/// The first object in `text` that has a key twice, going by where objects end. `text` holds any number of JSON values one after
/// the other; what is no JSON is no concern of this.
pub(super) fn find(text: &[u8]) -> Option<Duplicate> {
    let mut walk = Walk::default();
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                let end = string_end(text, at + 1);
                walk.string(text, at, end);
                at = end;
            }
            b'{' => walk.begin(true),
            b'[' => walk.begin(false),
            b',' => walk.next(),
            b'}' | b']' => {
                if let Some(duplicate) = walk.end() {
                    return Some(duplicate);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where the string that begins at `from` ends: its closing quote, or the end of the text.
fn string_end(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(offset) = memchr::memchr2(b'"', b'\\', text.get(at..).unwrap_or_default()) {
        at += offset;
        if text.get(at) == Some(&b'"') {
            return at;
        }
        at += 2;
    }
    text.len()
}

#[derive(Debug, Default)]
struct Walk<'t> {
    /// The objects and arrays around this place, the innermost last.
    around: Vec<Around>,
    /// The keys of the objects among them, the outermost first, and where each begins.
    keys: Vec<(Cow<'t, [u8]>, usize)>,
    /// The keys of the last object that was looked at of each depth, which were all different: most objects have the same again.
    known: Vec<Vec<Cow<'t, [u8]>>>,
}

#[derive(Debug)]
struct Around {
    is_object: bool,
    /// How many keys those outside of it have.
    first: usize,
    /// A key must follow.
    before_key: bool,
    /// Elements before this one, in an array.
    index: usize,
}

impl<'t> Walk<'t> {
    fn begin(&mut self, is_object: bool) {
        self.around.push(Around { is_object, first: self.keys.len(), before_key: is_object, index: 0 });
    }

    fn next(&mut self) {
        if let Some(around) = self.around.last_mut() {
            around.before_key = around.is_object;
            around.index += 1;
        }
    }

    /// A string whose quotes are at `start` and `end`.
    fn string(&mut self, text: &'t [u8], start: usize, end: usize) {
        let Some(around) = self.around.last_mut().filter(|around| around.before_key) else { return };
        around.before_key = false;
        let key = text.get(start + 1..end).unwrap_or_default();
        let quoted = text.get(start..=end).unwrap_or_default();
        // "\u0061" is "a".
        let key = match memchr::memchr(b'\\', key).and_then(|_| serde_json::from_slice::<String>(quoted).ok()) {
            Some(unescaped) => Cow::Owned(unescaped.into_bytes()),
            None => Cow::Borrowed(key),
        };
        self.keys.push((key, start));
    }

    fn end(&mut self) -> Option<Duplicate> {
        let around = self.around.pop()?;
        if !around.is_object {
            return None;
        }
        let depth = self.around.len();
        let keys = self.keys.get(around.first..).unwrap_or_default();
        let is_known = |known: &Vec<Cow<'t, [u8]>>| {
            known.len() == keys.len() && known.iter().zip(keys).all(|(known, (key, _))| known == key)
        };
        if !self.known.get(depth).is_some_and(is_known) {
            if let Some((key, at)) = twice(keys) {
                return Some(Duplicate { path: self.path(key, around.first), at: *at });
            }
            if self.known.len() <= depth {
                self.known.resize_with(depth + 1, Vec::new);
            }
            if let Some(known) = self.known.get_mut(depth) {
                known.clear();
                known.extend(keys.iter().map(|(key, _)| key.clone()));
            }
        }
        self.keys.truncate(around.first);
        None
    }

    /// The name of a key of the object that has just ended, whose keys begin at `first`.
    fn path(&self, key: &[u8], first: usize) -> String {
        let mut path = String::new();
        let firsts = self.around.iter().skip(1).map(|around| around.first);
        // Of each object, the last key so far is the one that leads on.
        for (around, next) in self.around.iter().zip(firsts.chain([first])) {
            if !around.is_object {
                path.push_str(&format!("[{}]", around.index));
                continue;
            }
            if let Some((key, _)) = self.keys.get(around.first..next).and_then(<[_]>::last) {
                join(&mut path, key);
            }
        }
        join(&mut path, key);
        path
    }
}

fn join(path: &mut String, key: &[u8]) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(&String::from_utf8_lossy(key));
}

/// The first key that was there before.
fn twice<'k, 't>(keys: &'k [(Cow<'t, [u8]>, usize)]) -> Option<&'k (Cow<'t, [u8]>, usize)> {
    if keys.len() <= FEW {
        let before = |(at, (key, _)): &(usize, &(Cow<'t, [u8]>, usize))| keys.iter().take(*at).any(|(k, _)| k == key);
        return keys.iter().enumerate().find(before).map(|(_, key)| key);
    }
    let mut seen = HashSet::with_capacity(keys.len());
    keys.iter().find(|(key, _)| !seen.insert(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Option<String> {
        find(text.as_bytes()).map(|duplicate| duplicate.path)
    }

    #[test]
    fn the_second_of_two_keys_is_found() {
        let text = r#"{"a": 1, "b": 2} {"a": 1, "b": {"x": 1}, "a": 3}"#;
        let Duplicate { path, at } = find(text.as_bytes()).unwrap();
        assert_eq!((path.as_str(), &text[at..at + 6]), ("a", "\"a\": 3"));
    }

    #[test]
    fn keys_are_named_by_where_they_are() {
        assert_eq!(path(r#"{"a": {"b": 1, "b": 1}}"#).unwrap(), "a.b");
        assert_eq!(
            path(r#"{"z": {"q": 1}, "a": [0, {"c": [[{"d": 1, "e": [], "d": 2}]]}]}"#).unwrap(),
            "a[1].c[0][0].d"
        );
        assert_eq!(path(r#"[{"a": 1}, {"": 1, "": 2}]"#).unwrap(), "[1].");
    }

    #[test]
    fn the_same_key_elsewhere_is_another_one() {
        for text in [
            r#"{"a": {"a": 1}, "b": {"a": [{"a": 1}, {"a": 2}]}}"#,
            r#"{"a": "a", "b": "a", "c": ["a", "a"]}"#,
            r#"{"a": "{\"a\": 1, \"a\": 2}", "A": 1, "a ": 2}"#,
            "{\"a\": 1}\n{\"a\": 2}\n",
            r#"{} [] {"a": {}}"#,
            "",
        ] {
            assert_eq!(path(text), None, "{text}");
        }
    }

    #[test]
    fn a_key_is_what_it_says_however_it_is_written() {
        assert_eq!(path(r#"{"a": 1, "\u0061": 2}"#).unwrap(), "a");
        assert_eq!(path(r#"{"\"": 1, "x": 2, "\u0022": 3}"#).unwrap(), "\"");
        assert_eq!(path(r#"{"\\": 1, "\"": 2}"#), None);
        assert_eq!(path(r#"{"é": 1, "\u00e9": 2}"#).unwrap(), "é");
    }

    #[test]
    fn many_keys_are_compared_all_the_same() {
        let object = |last: &str| {
            let keys: Vec<_> = (0..5000).map(|key| format!("\"k{key}\": {key}")).collect();
            format!("{{{}, \"{last}\": 0}}", keys.join(", "))
        };
        assert_eq!(path(&object("k5000")), None);
        assert_eq!(path(&object("k17")).unwrap(), "k17");
        // Objects whose keys are those of the one before are not looked at again, others are.
        assert_eq!(path(&format!("{0}{0}{1}", object("k5000"), object("k0"))).unwrap(), "k0");
    }

    #[test]
    fn what_is_no_json_does_no_harm() {
        for text in ["{\"a", "{\"a\\", "}}]]", "{{{{", "\"", "\\", "{\"a\": 1, \"a", "{\"\\ud800\": 1, \"\\ud800\": 2"]
        {
            assert_eq!(path(text), None, "{text}");
        }
        let deep = format!("{}{}", "[{\"a\":".repeat(100_000), "}]".repeat(100_000));
        assert_eq!(path(&deep), None);
    }
}

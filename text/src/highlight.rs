//! Shows where in a text the words of a query are.

use std::ops::Range;

use crate::{Result, TextQuery, TextSpec, analyzer::Analyzer, query::Patterns};

/// Finds the words of a query in texts.
pub struct Highlighter {
    analyzer: Analyzer,
    patterns: Patterns,
}

/// A part of a text, with the words in it that were looked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snippet {
    /// The part, as it stands in the text.
    pub text: String,
    /// The byte of the text that it begins at.
    pub from: usize,
    /// Where in the part the words are, in bytes, in order and apart from each other.
    pub words: Vec<Range<usize>>,
}

impl Highlighter {
    /// For the words of a query, in texts that became words as `spec` says.
    pub fn new(query: &TextQuery, spec: &TextSpec) -> Result<Self> {
        let analyzer = Analyzer::new(spec)?;
        let mut patterns = Patterns::default();
        patterns.add(query.node(), &analyzer);
        Ok(Self { analyzer, patterns })
    }

    /// The part of a text that has the most of the words, of up to `max_chars` characters; the text's beginning if it has none. Words of a
    /// phrase are shown wherever they are.
    pub fn snippet(&self, text: &str, max_chars: usize) -> Snippet {
        let words = self.words(text);
        // How many characters are before each byte that a word begins or ends at.
        let chars = Chars::new(text);
        let mut best = (0, 0..0);
        let mut first = 0;
        for (last, word) in words.iter().enumerate() {
            while first < last && chars.between(words.get(first).map_or(0, |word| word.start), word.end) > max_chars {
                first += 1;
            }
            if last + 1 - first > best.0 {
                best = (last + 1 - first, first..last + 1);
            }
        }
        let shown = words.get(best.1).unwrap_or_default();
        let inner = match (shown.first(), shown.last()) {
            (Some(first), Some(last)) => first.start..last.end,
            _ => 0..0,
        };
        let part = chars.around(inner, max_chars);
        let inside = words.iter().filter(|word| part.start <= word.start && word.end <= part.end);
        Snippet {
            text: text.get(part.clone()).unwrap_or_default().to_owned(),
            from: part.start,
            words: inside.map(|word| word.start - part.start..word.end - part.start).collect(),
        }
    }

    /// Where the words are, in bytes, in order and apart from each other.
    fn words(&self, text: &str) -> Vec<Range<usize>> {
        let mut words: Vec<Range<usize>> = Vec::new();
        let mut found: Vec<_> = self.analyzer.spans(text);
        found.retain(|(_, word)| self.patterns.match_word(word));
        found.sort_unstable_by_key(|(bytes, _)| bytes.start);
        for (bytes, _) in found {
            match words.last_mut() {
                Some(last) if bytes.start < last.end => last.end = last.end.max(bytes.end),
                _ => words.push(bytes),
            }
        }
        words
    }
}

impl Snippet {
    /// The part with marks around the words. The marks are put in as they are, and the text is not escaped: escape both for HTML.
    pub fn marked(&self, before: &str, after: &str) -> String {
        let mut marked = String::new();
        let mut at = 0;
        for word in &self.words {
            let piece = |range: Range<usize>| self.text.get(range).unwrap_or_default();
            marked.extend([piece(at..word.start), before, piece(word.clone()), after]);
            at = word.end;
        }
        marked + self.text.get(at..).unwrap_or_default()
    }
}

/// Where the characters of a text begin, in bytes, and where it ends.
struct Chars<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Chars<'a> {
    fn new(text: &'a str) -> Self {
        let starts = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        Self { text, starts }
    }

    /// How many characters are before a byte.
    fn before(&self, byte: usize) -> usize {
        self.starts.partition_point(|start| *start < byte)
    }

    fn between(&self, from: usize, to: usize) -> usize {
        self.before(to) - self.before(from)
    }

    fn byte(&self, char: usize) -> usize {
        self.starts.get(char).copied().unwrap_or(self.text.len())
    }

    /// Up to `max` characters with these bytes in the middle, cut where there is white space if that is near.
    fn around(&self, bytes: Range<usize>, max: usize) -> Range<usize> {
        let (first, last) = (self.before(bytes.start), self.before(bytes.end).min(self.before(bytes.start) + max));
        let all = self.starts.len() - 1;
        let spare = max - (last - first);
        // What is not needed on one side goes to the other.
        let right = spare.div_ceil(2).max(spare.saturating_sub(first)).min(all - last);
        let left = (spare - right).min(first);
        let (mut from, mut to) = (self.byte(first - left), self.byte(last + right));
        if from > 0
            && let Some(blank) = self.text.get(from..bytes.start).and_then(|cut| cut.find(char::is_whitespace))
        {
            from += blank;
        }
        if to < self.text.len()
            && let Some(blank) = self.text.get(bytes.end..to).and_then(|cut| cut.rfind(char::is_whitespace))
            && bytes.end + blank > from
        {
            to = bytes.end + blank;
        }
        let trimmed = self.text.get(from..to).unwrap_or_default().trim_start();
        from = to - trimmed.len();
        from..from + trimmed.trim_end().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Match;

    fn marked(query: &str, text: &str, max_chars: usize) -> String {
        let query = TextQuery::parse(query, Match::Query).unwrap();
        let snippet = Highlighter::new(&query, &TextSpec::default()).unwrap().snippet(text, max_chars);
        assert!(snippet.text.chars().count() <= max_chars);
        assert_eq!(&text[snippet.from..snippet.from + snippet.text.len()], snippet.text);
        snippet.marked("[", "]")
    }

    #[test]
    fn words_are_marked_as_they_stand_in_the_text() {
        assert_eq!(marked("connect -cable", "Connections & <cables>", 100), "[Connections] & <cables>");
        assert_eq!(marked("\"big dogs\" hors* birrds~1", "Dogs, BIRDS, horses", 100), "[Dogs], [BIRDS], [horses]");
        assert_eq!(marked("resume", "Mein Résumé.", 100), "Mein [Résumé].");
        assert_eq!(marked("京都", "東京都の猫", 100), "東[京都]の猫");
        assert_eq!(marked("東京都 猫", "東京都の猫", 100), "[東京都]の[猫]");
    }

    #[test]
    fn the_part_with_the_most_of_the_words_is_taken() {
        let text = format!("one {} one two {} three", "blah ".repeat(50), "blah ".repeat(50));
        assert_eq!(marked("one two three", &text, 30), "blah  [one] [two] blah blah");
        assert_eq!(marked("three", &text, 20), "blah blah  [three]");
        assert_eq!(marked("nothing", "no such word in here", 12), "no such");
        assert_eq!(marked("x", "", 10), "");
        assert_eq!(marked("word", "a word", 0), "");
        assert_eq!(marked("word", "wordwordword word", 3), "wor");
    }

    proptest::proptest! {
        #[test]
        fn every_text_can_be_cut(text in ".{0,60}", query in "[a-c]{1,3}", max_chars in 0_usize..40) {
            marked(&query, &text, max_chars);
            marked(&query, &text.replace(' ', "a"), max_chars);
        }
    }
}

//! Cuts a text into words.

use std::{mem, ops::Range};

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

use super::scripts::{is_accent, is_joiner, is_mark, is_unspaced};

/// Cuts a text into words in lower case: runs of letters and digits, or each two neighbours where there are no spaces between words.
///
/// tantivy's own tokenizers end words at the vowel killers of Indian scripts and take a whole Chinese sentence for one word.
#[derive(Clone)]
pub(crate) struct Words {
    /// Accents that are characters of their own are left out.
    pub without_accents: bool,
    /// Bytes of a word, at most: longer ones are left out, and count as a word where distances are measured.
    pub longest: usize,
    /// Adds the last character of a run without spaces as a word, so that every character is the beginning of one. For texts, not for queries.
    pub ends: bool,
}

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        WordStream { words: self, text, at: 0, unit: None, paired: false, token: Token::default() }
    }
}

/// The words of a text.
pub(crate) struct WordStream<'a> {
    words: &'a Words,
    text: &'a str,
    /// Where the rest begins.
    at: usize,
    /// The last character that has no spaces around it, with its marks.
    unit: Option<Range<usize>>,
    /// Whether the one before it was of the same run.
    paired: bool,
    token: Token,
}

impl WordStream<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Where what begins at the rest ends: before the first character that does not belong to it.
    fn end(&self, belongs: impl Fn(char) -> bool) -> usize {
        let mut rest = self.rest().char_indices().skip(1);
        rest.find(|(_, c)| !belongs(*c)).map_or(self.text.len(), |(length, _)| self.at + length)
    }

    /// The character at the beginning of the rest, if its script has no spaces.
    fn take_unit(&mut self) -> Option<Range<usize>> {
        self.rest().chars().next().filter(|c| is_unspaced(*c))?;
        let unit = self.at..self.end(is_mark);
        self.at = unit.end;
        Some(unit)
    }

    /// Makes a word the current one. Not one that is too long, or nothing but marks.
    fn show(&mut self, bytes: Range<usize>) -> bool {
        self.token.offset_from = bytes.start;
        self.token.offset_to = bytes.end;
        self.token.text.clear();
        let dropped = |c: &char| is_joiner(*c) || self.words.without_accents && is_accent(*c);
        for c in self.text.get(bytes).unwrap_or_default().chars().flat_map(char::to_lowercase).filter(|c| !dropped(c)) {
            if self.token.text.len() + c.len_utf8() > self.words.longest {
                return false;
            }
            self.token.text.push(c);
        }
        !self.token.text.is_empty()
    }

    fn step(&mut self) {
        self.token.position = self.token.position.wrapping_add(1);
    }
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        loop {
            let word = if let Some(unit) = self.unit.take() {
                if let Some(next) = self.take_unit() {
                    let pair = unit.start..next.end;
                    self.unit = Some(next);
                    self.paired = true;
                    self.step();
                    pair
                } else if !mem::take(&mut self.paired) {
                    self.step();
                    unit
                } else if self.words.ends {
                    // At the place of its pair: the words behind it are as far away as they are in a query, which has no such ends.
                    unit
                } else {
                    continue;
                }
            } else {
                let Some((blank, _)) = self.rest().char_indices().find(|(_, c)| c.is_alphanumeric()) else {
                    self.at = self.text.len();
                    return false;
                };
                self.at += blank;
                self.unit = self.take_unit();
                if self.unit.is_some() {
                    continue;
                }
                let word = self.at..self.end(|c| (c.is_alphanumeric() || is_mark(c)) && !is_unspaced(c));
                self.at = word.end;
                self.step();
                word
            };
            if self.show(word) {
                return true;
            }
        }
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str, ends: bool) -> Vec<(usize, String)> {
        let mut words = Words { without_accents: true, longest: 20, ends };
        let mut stream = words.token_stream(text);
        let mut found = Vec::new();
        while let Some(token) = stream.next() {
            assert!(!text[token.offset_from..token.offset_to].is_empty());
            found.push((token.position, token.text.clone()));
        }
        found
    }

    fn texts(text: &str) -> Vec<String> {
        cut(text, false).into_iter().map(|(_, word)| word).collect()
    }

    #[test]
    fn words_are_letters_and_digits() {
        assert_eq!(texts("Don't PANIC: v2.0_beta, 😀👩‍👩‍👧!"), ["don", "t", "panic", "v2", "0", "beta"]);
        assert_eq!(texts(""), [""; 0]);
        assert_eq!(texts("e\u{301}te\u{301} İstanbul"), ["ete", "istanbul"]);
        assert_eq!(texts("हिन्दी தமிழ் שָׁלוֹם می‌خواهم"), ["हिन्दी", "தமிழ்", "שָׁלוֹם", "میخواهم"]);
    }

    #[test]
    fn where_there_are_no_spaces_two_characters_are_a_word() {
        assert_eq!(texts("東京都の iPhone手机 猫"), ["東京", "京都", "都の", "iphone", "手机", "猫"]);
        assert_eq!(texts("ภาษาไทย")[..2], ["ภา", "าษ"]);
        let with_ends = [(0, "手机"), (0, "机"), (1, "case"), (2, "猫")].map(|(at, word)| (at, word.to_owned()));
        assert_eq!(cut("手机case猫", true), with_ends);
    }

    #[test]
    fn a_word_that_is_too_long_leaves_a_gap() {
        let text = format!("a {} b", "x".repeat(1_000_000));
        assert_eq!(cut(&text, true), [(0, "a".to_owned()), (2, "b".to_owned())]);
        assert_eq!(texts(&"\u{301}".repeat(1_000)), [""; 0]);
    }
}

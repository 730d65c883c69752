//! The patterns of metadata commands: `%` is any text, `_` any one character, `\` takes the next character literally.

/// Whether `text` matches the pattern; no pattern matches everything.
pub(crate) fn matches(pattern: Option<&str>, text: &str) -> bool {
    pattern.is_none_or(|pattern| Pattern::new(pattern).matches(text))
}

/// A pattern, taken apart once and used for many names.
#[derive(Debug, Clone)]
pub(crate) struct Pattern(Vec<Token>);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Token {
    Any,
    One,
    Literal(char),
}

impl Pattern {
    pub(crate) fn new(pattern: &str) -> Self {
        let mut tokens = Vec::new();
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '%' => Token::Any,
                '_' => Token::One,
                // A trailing backslash is itself.
                '\\' => Token::Literal(chars.next().unwrap_or('\\')),
                c => Token::Literal(c),
            });
        }
        tokens.dedup_by(|a, b| *a == Token::Any && *b == Token::Any);
        Self(tokens)
    }

    /// Greedy with one point to return to, so that no pattern takes more than tokens x characters.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let tokens = &self.0;
        let chars: Vec<char> = text.chars().collect();
        let (mut token, mut at) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        while at < chars.len() {
            match tokens.get(token) {
                Some(Token::Any) => {
                    retry = Some((token + 1, at));
                    token += 1;
                    continue;
                }
                Some(Token::One) => {}
                Some(Token::Literal(c)) if *c == chars[at] => {}
                _ => {
                    let Some((after, from)) = retry else { return false };
                    retry = Some((after, from + 1));
                    (token, at) = (after, from + 1);
                    continue;
                }
            }
            token += 1;
            at += 1;
        }
        tokens[token..].iter().all(|token| *token == Token::Any)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wildcards_and_escapes() {
        for (pattern, text, expected) in [
            ("%", "", true),
            ("%", "anything", true),
            ("", "", true),
            ("", "x", false),
            ("a_c", "abc", true),
            ("a_c", "ac", false),
            ("a\\_c", "abc", false),
            ("a\\_c", "a_c", true),
            ("100\\%", "100%", true),
            ("%flights%", "my flights 2013", true),
            ("%a%b", "aXbXb", true),
            ("%a%b", "aXbXc", false),
            ("_", "🪿", true),
            ("x\\", "x\\", true),
            ("a.b*", "a.b*", true),
            ("a.b", "axb", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), expected, "{pattern} {text}");
        }
        assert!(matches(None, "x"));
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_like_of_arrow(pattern in "[ab%_]{0,8}", text in "[abc]{0,8}") {
            let texts = arrow::array::StringArray::from(vec![text.as_str()]);
            let like = arrow::compute::kernels::comparison::like(
                &texts,
                &arrow::array::StringArray::new_scalar(&pattern),
            ).unwrap();
            prop_assert_eq!(Pattern::new(&pattern).matches(&text), like.value(0));
        }
    }
}

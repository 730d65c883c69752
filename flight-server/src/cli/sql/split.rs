//! Finding where statements end: at a `;` that is not inside a string, a quoted name or a comment.

/// What the scanner is inside of.
#[derive(Clone, Copy, PartialEq)]
enum State<'a> {
    Code,
    /// Ends with this character; doubled, it is part of the text.
    Quoted(char),
    LineComment,
    /// With its nesting depth.
    BlockComment(usize),
    /// `$tag$ ... $tag$`.
    Dollar(&'a str),
}

/// The statements of a text, without their semicolons. Those of only blanks and comments are left out.
pub fn statements(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut start, mut has_code) = (0, false);
    scan(text, |at, event| match event {
        Event::End => {
            if has_code {
                found.push(text.get(start..at).unwrap_or_default().trim());
            }
            (start, has_code) = (at + 1, false);
        }
        Event::Code => has_code = true,
    });
    if has_code {
        found.push(text.get(start..).unwrap_or_default().trim());
    }
    found
}

/// Whether the text ends with a finished statement, so that it can be run.
pub fn is_complete(text: &str) -> bool {
    let mut open = false;
    let state = scan(text, |_, event| open = matches!(event, Event::Code));
    !open && matches!(state, State::Code | State::LineComment)
}

enum Event {
    /// A `;`.
    End,
    /// A character that is neither blank nor comment.
    Code,
}

/// Walks the text; `event` gets the byte offset. Returns what the text ends inside of.
fn scan<'a>(text: &'a str, mut event: impl FnMut(usize, Event)) -> State<'a> {
    let mut state = State::Code;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(c) = rest.chars().next() else { break };
        let mut step = c.len_utf8();
        match state {
            State::Code => match c {
                '\'' | '"' | '`' => {
                    event(at, Event::Code);
                    state = State::Quoted(c);
                }
                '-' if rest.starts_with("--") => (state, step) = (State::LineComment, 2),
                '/' if rest.starts_with("/*") => (state, step) = (State::BlockComment(1), 2),
                ';' => event(at, Event::End),
                '$' => {
                    event(at, Event::Code);
                    if let Some(tag) = dollar_tag(rest) {
                        (state, step) = (State::Dollar(tag), tag.len());
                    }
                }
                c if !c.is_whitespace() => event(at, Event::Code),
                _ => {}
            },
            // A doubled quote closes and opens again, which comes to the same.
            State::Quoted(quote) if c == quote => state = State::Code,
            State::LineComment if c == '\n' => state = State::Code,
            State::BlockComment(depth) if rest.starts_with("*/") => {
                step = 2;
                state = if depth == 1 { State::Code } else { State::BlockComment(depth - 1) };
            }
            State::BlockComment(depth) if rest.starts_with("/*") => (state, step) = (State::BlockComment(depth + 1), 2),
            State::Dollar(tag) if rest.starts_with(tag) => (state, step) = (State::Code, tag.len()),
            _ => {}
        }
        at += step;
    }
    state
}

/// The `$tag$` that `rest` starts with. `$1` is a parameter and no tag.
fn dollar_tag(rest: &str) -> Option<&str> {
    let end = rest.get(1..)?.find('$')? + 1;
    let name = rest.get(1..end)?;
    let is_name =
        name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit());
    if is_name { rest.get(..=end) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_end_statements_outside_of_quotes_and_comments() {
        let text = "SELECT ';' AS \"a;b\"; -- not; here\nSELECT /* ; /* ; */ */ $1;\n\n;SELECT $x$ ; $x$";
        let expected = ["SELECT ';' AS \"a;b\"", "-- not; here\nSELECT /* ; /* ; */ */ $1", "SELECT $x$ ; $x$"];
        assert_eq!(statements(text), expected);
        assert_eq!(statements("SELECT 'it''s; fine'"), ["SELECT 'it''s; fine'"]);
        assert!(statements(" -- only a comment\n ; /* and another */").is_empty());
        assert_eq!(statements("SELECT 'ü;'; SELECT 2").len(), 2);
    }

    #[test]
    fn input_goes_on_until_it_is_complete() {
        for complete in ["SELECT 1;", "SELECT 1; -- done", "", "  \n", "SELECT ';';", "a; /* x */ "] {
            assert!(is_complete(complete), "{complete:?}");
        }
        for open in ["SELECT 1", "SELECT ';", "SELECT 1; SELECT 2", "SELECT 1 -- ;", "/* ;", "SELECT $$;"] {
            assert!(!is_complete(open), "{open:?}");
        }
    }
}

//! The query language, as [`super::Match::Query`] describes it.

use super::{
    MAX_DEPTH, MAX_PATTERNS,
    node::{Node, Occur},
};
use crate::{Error, Result};

/// How much something may count.
const MAX_BOOST: f32 = 1_000.0;
/// Words between those of a phrase, at most.
const MAX_SLOP: u32 = 100;

/// Reads a query; its size was checked before.
pub(super) fn parse(text: &str) -> Result<Node> {
    let mut parser = Parser { chars: text.chars().collect(), at: 0, depth: 0, patterns: 0 };
    parser.group(None)
}

struct Parser {
    chars: Vec<char>,
    at: usize,
    depth: usize,
    patterns: usize,
}

impl Parser {
    /// Clauses up to the end, or up to the parenthesis that closes the one at `opened`.
    fn group(&mut self, opened: Option<usize>) -> Result<Node> {
        let mut clauses = Vec::new();
        loop {
            self.skip_space();
            match (self.peek(), opened) {
                (None, None) => break,
                (None, Some(opened)) => return Err(wrong(opened, "this parenthesis is not closed")),
                (Some(')'), None) => return Err(wrong(self.at, "this parenthesis closes nothing")),
                (Some(')'), Some(_)) => {
                    self.at += 1;
                    break;
                }
                _ => {}
            }
            let at = self.at;
            if self.keyword("OR") {
                self.skip_space();
                if clauses.is_empty() || matches!(self.peek(), None | Some(')')) {
                    return Err(wrong(at, "OR stands between two words"));
                }
            }
            clauses.push(self.chain()?);
        }
        Ok(match &mut *clauses {
            [(Occur::Must | Occur::Should, _)] => clauses.swap_remove(0).1,
            _ => Node::Group(clauses),
        })
    }

    /// Clauses with AND between them.
    fn chain(&mut self) -> Result<(Occur, Node)> {
        let first = self.clause()?;
        let occur = first.0;
        let mut all = vec![first];
        while self.and() {
            all.push(self.clause()?);
        }
        if all.len() == 1 {
            return Ok(all.swap_remove(0));
        }
        for (occur, _) in &mut all {
            if *occur == Occur::Should {
                *occur = Occur::Must;
            }
        }
        Ok((if occur == Occur::Must { Occur::Must } else { Occur::Should }, Node::Group(all)))
    }

    fn and(&mut self) -> bool {
        self.skip_space();
        self.keyword("AND")
    }

    fn clause(&mut self) -> Result<(Occur, Node)> {
        self.skip_space();
        let at = self.at;
        let mut occur = Occur::Should;
        if self.eat('+') {
            occur = Occur::Must;
        } else if self.eat('-') {
            occur = Occur::MustNot;
        } else if self.keyword("NOT") {
            occur = Occur::MustNot;
            self.skip_space();
        }
        for keyword in ["AND", "OR", "NOT"] {
            if self.keyword(keyword) {
                return Err(wrong(at, &format!("{keyword} has no word before it or behind it")));
            }
        }
        let node = match self.peek() {
            None => return Err(wrong(at, "a word is missing here")),
            Some('(') => self.parentheses()?,
            Some('"') => self.phrase()?,
            Some(_) => self.word()?,
        };
        Ok((occur, self.boosted(node)?))
    }

    fn parentheses(&mut self) -> Result<Node> {
        let opened = self.at;
        self.at += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(wrong(opened, &format!("more than {MAX_DEPTH} parentheses are inside of each other")));
        }
        let node = self.group(Some(opened))?;
        self.depth -= 1;
        Ok(node)
    }

    fn phrase(&mut self) -> Result<Node> {
        let opened = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.next() {
                None => return Err(wrong(opened, "this quotation mark is not closed")),
                Some('"') => break,
                Some('\\') => text.extend(self.next()),
                Some(c) => text.push(c),
            }
        }
        let at = self.at;
        let mut slop = 0;
        if self.eat('~') {
            let digits = self.digits();
            slop = digits.parse().ok().filter(|slop| *slop <= MAX_SLOP).ok_or_else(|| {
                wrong(at, &format!("behind ~ stands how many words may be in between, 0 to {MAX_SLOP}"))
            })?;
        }
        Ok(Node::Phrase { text, slop, strict: true })
    }

    fn word(&mut self) -> Result<Node> {
        let start = self.at;
        let mut text = String::new();
        while let Some(c) = self.peek() {
            if c.is_whitespace() || matches!(c, '(' | ')' | '"' | '^' | '~' | '*') {
                break;
            }
            self.at += 1;
            if c == '\\' { text.extend(self.next()) } else { text.push(c) }
        }
        let at = self.at;
        let node = if self.eat('*') {
            self.pattern(at)?;
            Node::Begin { text: text.clone() }
        } else if self.eat('~') {
            self.pattern(at)?;
            let letters = match &*self.digits() {
                "" | "2" => 2,
                "1" => 1,
                "0" => 0,
                _ => return Err(wrong(at, "behind ~ stands by how many letters a word may differ, 0 to 2")),
            };
            Node::Words { text: text.clone(), every: true, fuzzy: letters }
        } else {
            Node::Phrase { text: text.clone(), slop: 0, strict: false }
        };
        if text.is_empty() {
            return Err(wrong(start, &format!("a word is missing before {}", self.chars.get(start).unwrap_or(&' '))));
        }
        if let Some(c) = self.peek().filter(|c| !c.is_whitespace() && !matches!(c, '(' | ')' | '^')) {
            let reason = format!("{c} cannot stand here; put a space before it, or \\ to make it a letter like others");
            return Err(wrong(self.at, &reason));
        }
        Ok(node)
    }

    fn pattern(&mut self, at: usize) -> Result<()> {
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            return Err(wrong(at, &format!("more than {MAX_PATTERNS} words end in * or ~; leave some out")));
        }
        Ok(())
    }

    fn boosted(&mut self, node: Node) -> Result<Node> {
        let at = self.at;
        if !self.eat('^') {
            return Ok(node);
        }
        let mut digits = self.digits();
        if self.eat('.') {
            digits = format!("{digits}.{}", self.digits());
        }
        let boost = digits.parse().ok().filter(|boost| *boost > 0.0 && *boost <= MAX_BOOST);
        let boost = boost.ok_or_else(|| {
            wrong(at, &format!("behind ^ stands how many times something counts, above 0 and up to {MAX_BOOST}"))
        })?;
        Ok(Node::Boost(Box::new(node), boost))
    }

    /// Takes a word in capitals that stands alone.
    fn keyword(&mut self, keyword: &str) -> bool {
        let end = self.at + keyword.len();
        let here = self.chars.get(self.at..end).is_some_and(|chars| chars.iter().copied().eq(keyword.chars()));
        let alone = self.chars.get(end).is_none_or(|c| c.is_whitespace() || matches!(c, '(' | ')' | '"'));
        if here && alone {
            self.at = end;
        }
        here && alone
    }

    fn digits(&mut self) -> String {
        let mut digits = String::new();
        while let Some(digit) = self.peek().filter(char::is_ascii_digit) {
            self.at += 1;
            digits.push(digit);
        }
        digits
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn eat(&mut self, c: char) -> bool {
        let here = self.peek() == Some(c);
        self.at += usize::from(here);
        here
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }
}

fn wrong(at: usize, what: &str) -> Error {
    Error::Invalid(format!("the query is wrong at character {}: {what}", at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(node: &Node) -> String {
        match node {
            Node::Words { text, fuzzy, .. } => format!("{text}~{fuzzy}"),
            Node::Phrase { text, strict: false, .. } => text.clone(),
            Node::Phrase { text, slop, .. } => format!("'{text}'~{slop}"),
            Node::Begin { text } => format!("{text}*"),
            Node::Boost(node, boost) => format!("{}^{boost}", show(node)),
            Node::Group(nodes) => {
                let sign = |occur: &Occur| match occur {
                    Occur::Must => "+",
                    Occur::MustNot => "-",
                    Occur::Should => "",
                };
                let nodes: Vec<_> = nodes.iter().map(|(occur, node)| sign(occur).to_owned() + &show(node)).collect();
                format!("({})", nodes.join(" "))
            }
        }
    }

    #[test]
    fn what_is_read() {
        for (query, read) in [
            ("word", "word"),
            (" some words ", "(some words)"),
            ("a OR b", "(a b)"),
            ("a AND b", "(+a +b)"),
            ("a AND b OR c", "((+a +b) c)"),
            ("a AND NOT b", "(+a -b)"),
            ("+a -b c", "(+a -b c)"),
            ("NOT a", "(-a)"),
            ("+a AND b c", "(+(+a +b) c)"),
            ("(a b) AND (c OR d)", "(+(a b) +(c d))"),
            ("((a))", "a"),
            ("\"some words\" \"near words\"~3", "('some words'~0 'near words'~3)"),
            ("begin* similar~ close~1 title:x wi-fi", "(begin* similar~2 close~1 title:x wi-fi)"),
            ("a^2 \"b c\"^0.5 (d e)^3", "(a^2 'b c'~0^0.5 (d e)^3)"),
            ("C\\+\\+ \\-x \\\"quoted\\* ANDES and or", "(C++ -x \"quoted* ANDES and or)"),
            ("a(b)", "(a b)"),
            ("a AND(b)", "(+a +b)"),
        ] {
            assert_eq!(show(&parse(query).unwrap()), read, "{query}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (query, at, what) in [
            ("a (b", 3, "not closed"),
            ("a b)", 4, "closes nothing"),
            ("a \"b c", 3, "quotation mark is not closed"),
            ("OR a", 1, "between"),
            ("a OR", 3, "between"),
            ("AND a", 1, "AND has no word"),
            ("a AND", 6, "missing"),
            ("a AND OR b", 7, "OR has no word"),
            ("a +", 3, "missing"),
            ("a NOT", 3, "missing"),
            ("a * b", 3, "missing before *"),
            ("^2 a", 1, "missing before ^"),
            ("be*gin", 4, "cannot stand here"),
            ("a~3", 2, "0 to 2"),
            ("\"a b\"~x", 6, "0 to 100"),
            ("\"a b\"~999999999999999", 6, "0 to 100"),
            ("a^0", 2, "above 0"),
            ("a^x", 2, "above 0"),
            ("größe^9999", 6, "up to 1000"),
        ] {
            let error = parse(query).unwrap_err().to_string();
            assert!(error.contains(&format!("at character {at}: ")) && error.contains(what), "{query}: {error}");
        }
    }

    #[test]
    fn depth_and_patterns_are_bounded() {
        let nested = |depth| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
        parse(&nested(MAX_DEPTH)).unwrap();
        assert!(parse(&nested(MAX_DEPTH + 1)).unwrap_err().to_string().contains("character 33"));
        parse(&format!("{} a", "(a) ".repeat(1_000))).unwrap();
        assert!(parse(&nested(60_000)).is_err());
        parse(&"a* ".repeat(MAX_PATTERNS)).unwrap();
        assert!(parse(&"a~ ".repeat(MAX_PATTERNS + 1)).unwrap_err().to_string().contains("more than 64"));
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(query in "[ab +\\-()\"~*^.0-9\\\\ANDORT]{0,40}") {
            let _ = parse(&query);
        }
    }
}

//! What is changed before the parser sees the tokens: `?` becomes `$1`, `$2`, ...; the spellings of time travel that the
//! parser does not know become the one it knows.

use datafusion::sql::sqlparser::{
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan},
};

use crate::{Error, Result};

/// Numbers the `?` from left to right.
pub(super) fn number_parameters(tokens: &mut [TokenWithSpan]) -> Result<()> {
    let mut count = 0_usize;
    let mut named = false;
    for token in tokens {
        if let Token::Placeholder(name) = &mut token.token {
            if name == "?" {
                count += 1;
                *name = format!("${count}");
            } else {
                named = true;
            }
        }
    }
    if named && count > 0 {
        return Err(Error::Invalid("a statement mixes the parameters ? and $1; use one sort".to_owned()));
    }
    Ok(())
}

/// Whether the statement reads tables at versions. `FOR VERSION AS OF` and `FOR TIMESTAMP AS OF` lose their FOR, and
/// SYSTEM_VERSION becomes VERSION.
pub(super) fn normalise_versions(tokens: &mut Vec<TokenWithSpan>) -> bool {
    let words: Vec<usize> = (0..tokens.len()).filter(|i| !matches!(tokens[*i].token, Token::Whitespace(_))).collect();
    let mut found = false;
    let mut superfluous = Vec::new();
    for (at, window) in words.windows(3).enumerate() {
        let [what, as_, of] = [window[0], window[1], window[2]];
        if !is_word(&tokens[as_], "AS") || !is_word(&tokens[of], "OF") {
            continue;
        }
        if is_word(&tokens[what], "SYSTEM_VERSION")
            && let Token::Word(word) = &mut tokens[what].token
        {
            "VERSION".clone_into(&mut word.value);
            word.keyword = Keyword::VERSION;
        }
        if is_word(&tokens[what], "SYSTEM_TIME") {
            found = true;
        }
        if is_word(&tokens[what], "VERSION") || is_word(&tokens[what], "TIMESTAMP") {
            found = true;
            let before = at.checked_sub(1).map(|at| words[at]);
            superfluous.extend(before.filter(|i| is_word(&tokens[*i], "FOR")));
        }
    }
    for index in superfluous.into_iter().rev() {
        tokens.remove(index);
    }
    found
}

/// Most tokens that can stack up to one branch of a statement's tree. The tree is walked and dropped recursively, which takes
/// stack for every level: see the server's thread stacks.
const MAX_DEPTH: usize = 6_000;

/// What one pair of parentheses holds so far.
#[derive(Default)]
struct Run {
    /// Tokens since the last comma that separates list items: a chain such as `1 + 1 + ...` is as deep as it is long.
    tokens: usize,
    /// In `FROM a, b, c` every comma is a join on top of the one before.
    in_from: bool,
}

/// Refuses endless chains such as `1 + 1 + 1 + ...`, also those spread over several levels of parentheses. Lists, separated by
/// commas, may be as long as they like.
pub(super) fn check_chains(tokens: &[TokenWithSpan]) -> Result<()> {
    let mut open = vec![Run::default()];
    let mut depth = 0_usize;
    for token in tokens {
        match &token.token {
            Token::Whitespace(_) => continue,
            Token::LParen | Token::LBracket | Token::LBrace => open.push(Run::default()),
            Token::RParen | Token::RBracket | Token::RBrace if open.len() > 1 => {
                depth -= open.pop().map_or(0, |run| run.tokens);
            }
            Token::Comma if open.last().is_some_and(|run| !run.in_from) => reset(&mut open, &mut depth),
            Token::SemiColon => reset(&mut open, &mut depth),
            Token::Word(word) if word.quote_style.is_none() => note_clause(&mut open, word.keyword),
            _ => {}
        }
        // A closed pair counts as one, so that `a[1][1][1]...` is a chain, too.
        if let Some(run) = open.last_mut() {
            run.tokens += 1;
            depth += 1;
        }
        if depth > MAX_DEPTH {
            return Err(Error::Invalid(format!(
                "an expression or a chain of UNION or JOIN is more than {MAX_DEPTH} tokens long (Line: {}, Column: {}); \
                 use an IN list, or put the values into a table",
                token.span.start.line, token.span.start.column
            )));
        }
    }
    Ok(())
}

fn reset(open: &mut [Run], depth: &mut usize) {
    if let Some(run) = open.last_mut() {
        *depth -= std::mem::take(&mut run.tokens);
    }
}

fn note_clause(open: &mut [Run], keyword: Keyword) {
    let Some(run) = open.last_mut() else { return };
    match keyword {
        Keyword::FROM => run.in_from = true,
        Keyword::SELECT | Keyword::WHERE | Keyword::GROUP | Keyword::HAVING | Keyword::ORDER | Keyword::WINDOW => {
            run.in_from = false;
        }
        _ => {}
    }
}

fn is_word(token: &TokenWithSpan, text: &str) -> bool {
    matches!(&token.token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(text))
}

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
    for window in words.windows(3) {
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
            let before = words.iter().position(|i| *i == what).and_then(|at| at.checked_sub(1)).map(|at| words[at]);
            superfluous.extend(before.filter(|i| is_word(&tokens[*i], "FOR")));
        }
    }
    for index in superfluous.into_iter().rev() {
        tokens.remove(index);
    }
    found
}

/// Longest run of tokens between two commas at one depth of parentheses. A run becomes a tree as deep as it is long, and
/// deep trees overflow the stack when they are walked or dropped.
const MAX_RUN: usize = 10_000;

/// Refuses endless chains such as `1 + 1 + 1 + ...`. Lists, separated by commas, may be as long as they like.
pub(super) fn check_chains(tokens: &[TokenWithSpan]) -> Result<()> {
    let mut runs = vec![0_usize];
    for token in tokens {
        match &token.token {
            Token::Whitespace(_) => {}
            Token::LParen | Token::LBracket | Token::LBrace => runs.push(0),
            Token::RParen | Token::RBracket | Token::RBrace => {
                runs.pop();
            }
            Token::Comma | Token::SemiColon => {
                if let Some(run) = runs.last_mut() {
                    *run = 0;
                }
            }
            _ => {
                if let Some(run) = runs.last_mut() {
                    *run += 1;
                    if *run > MAX_RUN {
                        return Err(Error::Invalid(format!(
                            "an expression or a chain of UNION or JOIN is more than {MAX_RUN} tokens long at {}; \
                             use an IN list, or put the values into a table",
                            token.span.start
                        )));
                    }
                }
            }
        }
    }
    Ok(())
}

fn is_word(token: &TokenWithSpan, text: &str) -> bool {
    matches!(&token.token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(text))
}

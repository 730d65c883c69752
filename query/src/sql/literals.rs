//! Numbers with more digits than a double holds, such as `12345678901234567890.12`, are DECIMALs. DataFusion would read them as doubles
//! and change their digits, even inside `CAST(... AS DECIMAL)`.
//!
//! Shorter ones stay doubles, as DataFusion has them: with DECIMALs everywhere (its `parse_float_as_decimal`), `1 / 3.0` has four
//! digits and clients get decimal objects for `SELECT 1.5`.

use datafusion::sql::sqlparser::{
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan, Word},
};

/// Most digits that are ever needed to write a double.
const DOUBLE_DIGITS: usize = 17;
/// Most digits of a DECIMAL.
const DECIMAL_DIGITS: usize = 76;

/// Writes such numbers as casts.
pub(super) fn keep_long_numbers(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    if !tokens.iter().any(|token| precision(&token.token).is_some()) {
        return tokens;
    }
    let mut written = Vec::with_capacity(tokens.len() + 16);
    for token in tokens {
        match (precision(&token.token), token.token) {
            (Some((precision, scale)), Token::Number(text, _)) => {
                let number = |n: usize| Token::Number(n.to_string(), false);
                let cast = [
                    word("CAST", Keyword::CAST),
                    Token::LParen,
                    Token::SingleQuotedString(text),
                    word("AS", Keyword::AS),
                    word("DECIMAL", Keyword::DECIMAL),
                    Token::LParen,
                    number(precision),
                    Token::Comma,
                    number(scale),
                    Token::RParen,
                    Token::RParen,
                ];
                written.extend(cast.map(|part| TokenWithSpan { token: part, span: token.span }));
            }
            (_, other) => written.push(TokenWithSpan { token: other, span: token.span }),
        }
    }
    written
}

fn word(text: &str, keyword: Keyword) -> Token {
    Token::Word(Word { value: text.to_owned(), quote_style: None, keyword })
}

/// Precision and scale of a number that a double (or an integer) does not hold; `None` for all others.
fn precision(token: &Token) -> Option<(usize, usize)> {
    let Token::Number(text, _) = token else { return None };
    if text.len() <= DOUBLE_DIGITS || !text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.is_empty() && whole.parse::<u64>().is_ok() {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let significant = match fraction.trim_end_matches('0') {
        "" => whole.len(),
        fraction if whole.is_empty() => fraction.trim_start_matches('0').len(),
        fraction => whole.len() + fraction.len(),
    };
    let digits = (whole.len() + fraction.len()).max(1);
    (significant > DOUBLE_DIGITS && digits <= DECIMAL_DIGITS).then_some((digits, fraction.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_double_cannot_hold() {
        let of = |text: &str| precision(&Token::Number(text.to_owned(), false));
        for double in [
            "1.5",
            "18446744073709551615",
            "0.30000000000000004",
            "3.141592653589793",
            "1.00000000000000000000",
            "0.00000000000000000001",
            "1e300",
        ] {
            assert_eq!(of(double), None, "{double}");
        }
        assert_eq!(of("18446744073709551616"), Some((20, 0)));
        assert_eq!(of("12345678901234567890.12"), Some((22, 2)));
        assert_eq!(of("0.123456789012345678901"), Some((21, 21)));
        assert_eq!(of(&"9".repeat(76)), Some((76, 0)));
        assert_eq!(of(&"9".repeat(77)), None);
    }
}

//! From text to one statement.

use datafusion::{
    error::DataFusionError,
    sql::{
        parser::{DFParserBuilder, Statement},
        sqlparser::{
            ast::{Ident, ObjectName},
            keywords::Keyword,
            parser::ParserError,
            tokenizer::{Location, Token, Tokenizer},
        },
    },
};
use skein_model::Limits;

use super::{dialect::SkeinDialect, expansion, literals, tokens};
use crate::{Error, Result};

/// How deep expressions and subqueries may nest.
const RECURSION_LIMIT: usize = 100;

/// Parses exactly one statement.
pub(crate) fn parse(sql: &str) -> Result<Statement> {
    let limit = Limits::default().max_sql_bytes;
    if sql.len() > limit {
        return Err(Error::Invalid(format!("the statement is {} bytes long; the limit is {limit}", sql.len())));
    }
    let mut dialect = SkeinDialect { versions: false };
    let mut tokens = Tokenizer::new(&dialect, sql)
        .tokenize_with_location()
        .map_err(|e| DataFusionError::from(ParserError::from(e)))?;
    tokens::check_chains(&tokens)?;
    tokens::number_parameters(&mut tokens)?;
    dialect.versions = tokens::normalise_versions(&mut tokens);
    let tokens = literals::keep_long_numbers(tokens);
    let parser = DFParserBuilder::new(tokens).with_dialect(&dialect).with_recursion_limit(RECURSION_LIMIT).build();
    let mut statements =
        parser.and_then(|mut parser| parser.parse_statements()).map_err(|error| located(error, sql))?;
    match (statements.pop_front(), statements.len()) {
        (Some(statement), 0) => {
            expansion::check(&statement)?;
            Ok(statement)
        }
        (None, _) => Err(Error::Invalid("the statement is empty; send one SQL statement".to_owned())),
        (Some(_), more) => {
            Err(Error::Invalid(format!("{} statements were sent at once; send them one by one", more + 1)))
        }
    }
}

/// The parser gives no place for what is missing at the end, and no limit for what is too deep.
fn located(error: DataFusionError, sql: &str) -> Error {
    let DataFusionError::SQL(inner, _) = &error else { return error.into() };
    match inner.as_ref() {
        ParserError::ParserError(text) if text.ends_with("found: EOF") => {
            let text = text.trim_end_matches("found: EOF");
            let end = sql.trim_end();
            let line = end.matches('\n').count() + 1;
            let column = end.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            Error::Invalid(format!(
                "sql parser error: {text}found: the end of the statement at Line: {line}, Column: {column}"
            ))
        }
        ParserError::RecursionLimitExceeded => Error::Invalid(format!(
            "the statement nests deeper than about {RECURSION_LIMIT} levels of parentheses, functions or subqueries; \
             put the inner parts into WITH or into views"
        )),
        _ => error.into(),
    }
}

/// The query of a `CREATE VIEW`, as it was written. Not as the parser would write it: that cannot always be parsed again.
pub(crate) fn view_query(sql: &str) -> Result<String> {
    let tokens = Tokenizer::new(&SkeinDialect { versions: false }, sql)
        .tokenize_with_location()
        .map_err(|e| DataFusionError::from(ParserError::from(e)))?;
    let mut depth = 0_usize;
    for token in &tokens {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            Token::Word(word) if depth == 0 && word.keyword == Keyword::AS => {
                return Ok(after(sql, token.span.end).trim().trim_end_matches(';').trim_end().to_owned());
            }
            _ => {}
        }
    }
    Err(Error::Invalid("CREATE VIEW has no query".to_owned()))
}

/// The text from a location on. Lines and columns count from 1, columns in characters.
fn after(sql: &str, location: Location) -> &str {
    let (mut line, mut column) = (1, 1);
    for (offset, ch) in sql.char_indices() {
        if (line, column) >= (location.line, location.column) {
            return &sql[offset..];
        }
        if ch == '\n' {
            (line, column) = (line + 1, 1);
        } else {
            column += 1;
        }
    }
    ""
}

/// A name in double quotes, so that it is taken literally.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string literal.
pub(crate) fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// The parts of a name as the engine sees them: lower case unless quoted.
pub(crate) fn parts(name: &ObjectName, normalise: bool) -> Result<Vec<String>> {
    let part = |ident: &Ident| match ident.quote_style {
        None if normalise => ident.value.to_lowercase(),
        _ => ident.value.clone(),
    };
    name.0
        .iter()
        .map(|p| p.as_ident().map(part).ok_or_else(|| Error::Invalid(format!("'{name}' is not a name"))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_statement() {
        assert!(parse("select 1;").is_ok());
        assert!(parse("").unwrap_err().to_string().contains("empty"));
        assert!(parse("  ; ").is_err());
        assert!(parse("select 1; select 2").unwrap_err().to_string().contains("2 statements"));
        assert!(parse("selec 1").is_err());
    }

    #[test]
    fn question_marks_are_numbered() {
        let statement = parse("select ? + ?, '?' from t where a = ?").unwrap();
        assert_eq!(statement.to_string(), "SELECT $1 + $2, '?' FROM t WHERE a = $3");
        assert!(parse("select ? + $1").is_err());
    }

    #[test]
    fn all_spellings_of_time_travel() {
        for (sql, canonical) in [
            ("select * from t version as of 3", "SELECT * FROM t VERSION AS OF 3"),
            ("select * from t for version as of 3 x", "SELECT * FROM t x VERSION AS OF 3"),
            ("select * from t for system_version as of 3", "SELECT * FROM t VERSION AS OF 3"),
            ("select * from t timestamp as of '2024-01-01'", "SELECT * FROM t TIMESTAMP AS OF '2024-01-01'"),
            ("select * from t for system_time as of now()", "SELECT * FROM t FOR SYSTEM_TIME AS OF now()"),
        ] {
            assert_eq!(parse(sql).unwrap().to_string().to_lowercase(), canonical.to_lowercase());
        }
    }

    #[test]
    fn a_views_query_is_kept_as_written() {
        let sql = "create view \"as\" (a,\n b) as\n  select 1 as a, '🪿' /* as */ as b;  ";
        assert_eq!(view_query(sql).unwrap(), "select 1 as a, '🪿' /* as */ as b");
    }

    #[test]
    fn words_of_time_travel_stay_names() {
        for sql in ["select at.a from t at", "select version as of1 from t", "select timestamp from changes changes"] {
            assert!(parse(sql).is_ok(), "{sql}");
        }
    }

    #[test]
    fn endless_chains_are_refused_and_long_lists_are_not() {
        let chain = format!("select {}1", "1 + ".repeat(100_000));
        assert!(parse(&chain).unwrap_err().to_string().contains("tokens long"));
        let list = format!("select a in ({}1)", "1, ".repeat(100_000));
        assert!(parse(&list).is_ok());
        let longest = format!("select {}1", "1 + ".repeat(2_990));
        assert!(parse(&longest).is_ok());
        let list = format!("select {}", "1 + f(1, 2, (3)), ".repeat(10_000) + "1");
        assert!(parse(&list).is_ok());
    }

    #[test]
    fn chains_hide_nowhere() {
        let spread = format!("{}1{}", format!("({}", "1 + ".repeat(500)).repeat(50), ")".repeat(50));
        for sql in [
            format!("select a{}", "[1]".repeat(10_000)),
            format!("select {}1", "(1) + ".repeat(10_000)),
            format!("select * from t{}", ", t".repeat(10_000)),
            format!("select {spread}"),
        ] {
            assert!(parse(&sql).unwrap_err().to_string().contains("tokens long"), "{}", &sql[..40]);
        }
    }

    #[test]
    fn what_is_missing_at_the_end_is_located() {
        for (sql, place) in [
            ("select", "Line: 1, Column: 7"),
            ("select 1 +  \n", "Line: 1, Column: 11"),
            ("select\n  (1", "Line: 2, Column: 5"),
            ("create table", "Line: 1, Column: 13"),
        ] {
            let error = parse(sql).unwrap_err().to_string();
            assert!(error.contains("the end of the statement") && error.ends_with(place), "{error}");
        }
        let deep = parse(&format!("select {}1{}", "(".repeat(1_000), ")".repeat(1_000))).unwrap_err().to_string();
        assert!(deep.contains("nests deeper"), "{deep}");
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_overflow() {
        let sql = format!("select {}1{}", "(".repeat(5000), ")".repeat(5000));
        assert!(parse(&sql).is_err());
    }
}

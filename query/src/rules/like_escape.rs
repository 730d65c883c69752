//! `LIKE 'a!%' ESCAPE '!'`. DataFusion knows the backslash only, so the pattern is written with it.

use datafusion::{
    common::{
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    error::Result,
    logical_expr::{Expr, Like, LogicalPlan},
    optimizer::AnalyzerRule,
    scalar::ScalarValue,
};

use super::rewrite;
use crate::Error;

const BACKSLASH: char = '\\';

#[derive(Debug)]
pub(super) struct LikeEscape;

impl AnalyzerRule for LikeEscape {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        // Hardly any statement has one, and rewriting a plan costs more than looking at it.
        if !has_escape(&plan)? {
            return Ok(plan);
        }
        Ok(plan.transform_up_with_subqueries(|node| rewrite(node, of_expr))?.data)
    }

    fn name(&self) -> &str {
        "like_escape"
    }
}

fn has_escape(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found |= expr.exists(|expr| Ok(matches!(expr, Expr::Like(like) if escape_of(like).is_some())))?;
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    })?;
    Ok(found)
}

/// The character that escapes, if it is another one than DataFusion's.
fn escape_of(like: &Like) -> Option<char> {
    like.escape_char.filter(|escape| *escape != BACKSLASH)
}

fn of_expr(expr: Expr) -> Result<Transformed<Expr>> {
    match expr {
        Expr::Like(like) => match escape_of(&like) {
            Some(escape) => Ok(Transformed::yes(Expr::Like(with_backslash(like, escape)?))),
            None => Ok(Transformed::no(Expr::Like(like))),
        },
        other => Ok(Transformed::no(other)),
    }
}

fn with_backslash(like: Like, escape: char) -> Result<Like> {
    let Expr::Literal(pattern, metadata) = like.pattern.as_ref() else {
        return Err(Error::unsupported(
            format!("LIKE with a pattern that is computed and ESCAPE '{escape}'"),
            "escape with a backslash, for which ESCAPE is not needed",
        )
        .into());
    };
    let Some(Some(text)) = pattern.try_as_str() else { return Ok(Like { escape_char: None, ..like }) };
    let text = ScalarValue::from(rewritten(text, escape)?).cast_to(&pattern.data_type())?;
    let pattern = Box::new(Expr::Literal(text, metadata.clone()));
    Ok(Like { pattern, escape_char: None, ..like })
}

/// The same pattern with a backslash for an escape character.
fn rewritten(pattern: &str, escape: char) -> Result<String, Error> {
    let mut out = String::with_capacity(pattern.len() + 2);
    let mut rest = pattern.chars();
    while let Some(next) = rest.next() {
        let (literal, c) = match next {
            c if c == escape => match rest.next() {
                Some(c) => (true, c),
                None => {
                    return Err(Error::Invalid(format!(
                        "the LIKE pattern '{pattern}' ends with its escape character '{escape}'; put after it what it escapes, or \
                         write '{escape}{escape}'"
                    )));
                }
            },
            BACKSLASH => (true, BACKSLASH),
            c => (false, c),
        };
        if literal && matches!(c, '%' | '_' | BACKSLASH) {
            out.push(BACKSLASH);
        }
        out.push(c);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_the_same() {
        for (pattern, expected) in [
            ("a!%", r"a\%"),
            ("!_%", r"\_%"),
            ("!!", "!"),
            (r"c:\dir%", r"c:\\dir%"),
            ("!a", "a"),
            ("", ""),
            ("🦢!%", r"🦢\%"),
        ] {
            assert_eq!(rewritten(pattern, '!').unwrap(), expected, "{pattern}");
        }
        assert_eq!(rewritten("a%%", '%').unwrap(), r"a\%");
        assert!(rewritten("a!", '!').unwrap_err().to_string().contains("ends with its escape character"));
    }
}

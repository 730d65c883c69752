//! `SET option = value`, `RESET option`.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{ContextModifier, Expr, ObjectName, Set as Ast, UnaryOperator, Value};

use super::Update;
use crate::{Error, Result, Session, UpdateCount};

#[derive(Debug, Clone)]
pub(crate) struct Set(Vec<(String, Option<String>)>);

/// Checks the statement.
pub(crate) fn plan(set: Ast) -> Result<Update> {
    let assignments = match set {
        Ast::SingleAssignment { scope, variable, values, .. } => vec![assignment(scope.as_ref(), &variable, &values)?],
        Ast::MultipleAssignments { assignments } => assignments
            .iter()
            .map(|a| assignment(a.scope.as_ref(), &a.name, std::slice::from_ref(&a.value)))
            .collect::<Result<_>>()?,
        Ast::SetTimeZone { value, .. } => vec![("timezone".to_owned(), text(&value)?)],
        other => return Err(Error::unsupported(other.to_string(), "use SET <option> = <value>")),
    };
    Ok(Update::Set(Set(assignments.into_iter().map(|(key, value)| (key, Some(value))).collect())))
}

/// Checks a RESET.
pub(crate) fn reset(name: &ObjectName) -> Result<Update> {
    Ok(Update::Set(Set(vec![(key(name), None)])))
}

fn assignment(scope: Option<&ContextModifier>, name: &ObjectName, values: &[Expr]) -> Result<(String, String)> {
    if let Some(ContextModifier::Global) = scope {
        return Err(Error::unsupported("SET GLOBAL", "set it for the session, or in the server's configuration"));
    }
    match values {
        [value] => Ok((key(name), text(value)?)),
        _ => Err(Error::Invalid(format!("SET {name} takes one value"))),
    }
}

fn key(name: &ObjectName) -> String {
    let part = |part: &datafusion::sql::sqlparser::ast::ObjectNamePart| {
        part.as_ident().map_or_else(|| part.to_string(), |ident| ident.value.clone())
    };
    name.0.iter().map(part).collect::<Vec<_>>().join(".").to_lowercase()
}

fn text(value: &Expr) -> Result<String> {
    match value {
        Expr::Identifier(ident) => Ok(ident.value.clone()),
        Expr::Value(value) => Ok(match &value.value {
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => text.clone(),
            other => other.to_string(),
        }),
        Expr::UnaryOp { op: op @ (UnaryOperator::Minus | UnaryOperator::Plus), expr } => Ok(format!("{op}{expr}")),
        Expr::CompoundIdentifier(parts) => {
            Ok(parts.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join("."))
        }
        other => Err(Error::Invalid(format!("SET takes a plain value, not {other}"))),
    }
}

impl Set {
    pub(super) fn run(&self, session: &Arc<Session>) -> Result<UpdateCount> {
        for (key, value) in &self.0 {
            match value {
                Some(value) => session.set_option(key, value)?,
                None => session.reset_option(key)?,
            }
        }
        Ok(UpdateCount::default())
    }
}

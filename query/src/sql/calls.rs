//! What a statement calls that has to be looked up before it is planned: tables that are searched, models that embed.

use std::ops::ControlFlow;

use datafusion::{
    common::TableReference,
    sql::{
        parser::Statement as DfStatement,
        planner::object_name_to_table_reference,
        sqlparser::ast::{
            Expr, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, TableFactor, Value, Visitor,
        },
    },
};

use super::versions::visit;
use crate::{
    functions::{EMBED, TEXT_CHUNKS},
    search::is_search,
};

/// What is called.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Calls {
    /// The tables that `vector_search` and its like look into.
    pub(crate) searched: Vec<TableReference>,
    /// The models that `embed` and `text_chunks` are told to use.
    pub(crate) models: Vec<String>,
}

/// What a statement calls.
pub(crate) fn calls(statement: &DfStatement, normalise: bool) -> Calls {
    let mut found = Found { calls: Calls::default(), normalise };
    visit(statement, &mut found);
    found.calls
}

/// The table that the first argument of a search names: `docs`, `public.docs` or `'public.docs'`.
pub(crate) fn searched_table(argument: &FunctionArg, normalise: bool) -> Option<TableReference> {
    let (FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
    | FunctionArg::Named { arg: FunctionArgExpr::Expr(expr), .. }
    | FunctionArg::ExprNamed { arg: FunctionArgExpr::Expr(expr), .. }) = argument
    else {
        return None;
    };
    let name = match expr {
        Expr::Identifier(ident) => ObjectName::from(vec![ident.clone()]),
        Expr::CompoundIdentifier(idents) => ObjectName::from(idents.clone()),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => {
                return Some(TableReference::parse_str(text));
            }
            _ => return None,
        },
        _ => return None,
    };
    object_name_to_table_reference(name, normalise).ok()
}

/// Which argument of a function names a model.
fn place_of_model(function: &str) -> Option<usize> {
    match function.to_ascii_lowercase().as_str() {
        EMBED => Some(0),
        TEXT_CHUNKS => Some(3),
        _ => None,
    }
}

struct Found {
    calls: Calls,
    normalise: bool,
}

impl Visitor for Found {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        let (name, args) = match factor {
            TableFactor::Table { name, args: Some(args), .. } => (name, &args.args),
            TableFactor::Function { name, args, .. } => (name, args),
            _ => return ControlFlow::Continue(()),
        };
        if is_search(&name.to_string())
            && let Some(table) = args.first().and_then(|first| searched_table(first, self.normalise))
        {
            self.calls.searched.push(table);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(call) = expr
            && let Some(place) = place_of_model(&call.name.to_string())
            && let FunctionArguments::List(list) = &call.args
            && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))) = list.args.get(place)
            && let Value::SingleQuotedString(model) = &value.value
        {
            self.calls.models.push(model.clone());
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::parse;

    #[test]
    fn what_is_called_is_found_wherever_it_is() {
        let found = |sql: &str| calls(&parse(sql).unwrap(), true);
        let sql = "with h as (select * from Vector_Search(Docs, $1, k => 5))
                   select * from h where id in (select id from text_search('lab.notes', 'a')) and x = embed('m', 'b')";
        let all = found(sql);
        assert_eq!(all.searched, [TableReference::bare("docs"), TableReference::partial("lab", "notes")]);
        assert_eq!(all.models, ["m"]);
        assert_eq!(found("explain select embed('m', t) from a").models, ["m"]);
        assert_eq!(found("select * from generate_series(1, 2), vector_search"), Calls::default());
    }
}

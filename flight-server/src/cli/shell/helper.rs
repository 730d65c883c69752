//! What the line editor asks for: completion, hints from the history, and whether the input is finished.

use std::borrow::Cow;

use rustyline::{
    Context, Helper, Result,
    completion::{Completer, Pair},
    highlight::Highlighter,
    hint::{Hinter, HistoryHinter},
    validate::{ValidationContext, ValidationResult, Validator},
};

use super::{complete::complete, names::Names};
use crate::cli::sql::split;

/// The editor's helper.
pub struct ShellHelper {
    names: Names,
    hinter: HistoryHinter,
    colours: bool,
}

impl ShellHelper {
    pub fn new(names: Names, terminal: bool) -> Self {
        let colours = terminal && std::env::var_os("NO_COLOR").is_none();
        Self { names, hinter: HistoryHinter::new(), colours }
    }
}

impl Helper for ShellHelper {}

impl Completer for ShellHelper {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _context: &Context<'_>) -> Result<(usize, Vec<Pair>)> {
        let (start, found) = complete(line, pos, &self.names.get());
        let pairs = found.into_iter().map(|text| Pair { display: text.clone(), replacement: text });
        Ok((start, pairs.collect()))
    }
}

impl Hinter for ShellHelper {
    type Hint = String;

    fn hint(&self, line: &str, pos: usize, context: &Context<'_>) -> Option<String> {
        // A hint over several lines would be more confusing than helpful.
        self.hinter.hint(line, pos, context).filter(|hint| !hint.contains('\n'))
    }
}

impl Highlighter for ShellHelper {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _default: bool) -> Cow<'b, str> {
        if self.colours { Cow::Owned(format!("\x1b[1;36m{prompt}\x1b[0m")) } else { Cow::Borrowed(prompt) }
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        if self.colours { Cow::Owned(format!("\x1b[2m{hint}\x1b[0m")) } else { Cow::Borrowed(hint) }
    }
}

impl Validator for ShellHelper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> Result<ValidationResult> {
        Ok(if finished(context.input()) { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

/// A command is one line; a statement goes on until its semicolon.
fn finished(input: &str) -> bool {
    input.trim_start().starts_with('\\') || split::is_complete(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enter_runs_finished_input_only() {
        assert!(finished("\\d flights"));
        assert!(finished("SELECT 1;"));
        assert!(!finished("SELECT 1"));
        assert!(!finished("SELECT ';"));
    }
}

//! Results for reading.
//!
//! Column widths are found from the first rows, then rows are written as they come, so any number of them fits in memory.
//! On a terminal, wide results lose the ends of their widest cells, then their middle columns, and long results their tail;
//! the last line says how many rows there are in all.

use std::io::Write;

use arrow::{array::RecordBatch, util::display::ArrayFormatter};
use arrow_schema::{DataType, SchemaRef};
use console::{measure_text_width, truncate_str};

use super::{Failure, Out, Sink, encoding, text};

/// Rows that decide on the widths of the columns.
const SAMPLE_ROWS: usize = 1000;
/// No cell is wider than this while the table is not on a terminal.
const WIDEST: usize = 200;
/// Cells are shortened to this before columns are left out.
const NARROWEST: usize = 12;

/// The room there is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Layout {
    /// Columns of the terminal; `None` for no limit.
    pub width: Option<usize>,
    /// Rows to show; `None` for all.
    pub max_rows: Option<usize>,
    /// Leave out the line with the columns' types.
    pub no_types: bool,
}

impl Layout {
    /// For stdout as it is: a terminal shows 200 rows unless told otherwise, everything else shows all.
    pub fn for_stdout(max_rows: Option<usize>) -> Self {
        let width = super::output::terminal_width();
        let max_rows = match max_rows {
            Some(0) => None,
            Some(rows) => Some(rows),
            None => width.map(|_| 200),
        };
        Self { width, max_rows, no_types: false }
    }

    /// For lists, whose columns are known: all rows, no types.
    pub fn for_list() -> Self {
        Self { no_types: true, ..Self::for_stdout(Some(0)) }
    }
}

/// Writes aligned columns.
pub struct Table {
    out: Out,
    layout: Layout,
    names: Vec<String>,
    types: Vec<String>,
    /// Numbers stand on the right.
    right: Vec<bool>,
    /// The first rows, until the widths are known.
    sample: Vec<Vec<String>>,
    columns: Option<Columns>,
    rows: usize,
}

/// What is shown of each row.
struct Columns {
    /// Width of each shown column.
    widths: Vec<usize>,
    /// Which columns are shown; `None` stands for those left out.
    shown: Vec<Option<usize>>,
}

impl Table {
    pub fn new(schema: &SchemaRef, layout: Layout, out: Out) -> Self {
        let fields = schema.fields();
        Self {
            out,
            layout,
            names: fields.iter().map(|field| printable(field.name())).collect(),
            types: fields.iter().map(|field| text::type_name(field.data_type())).collect(),
            right: fields.iter().map(|field| is_number(field.data_type())).collect(),
            sample: Vec::new(),
            columns: None,
            rows: 0,
        }
    }

    fn wanted(&self) -> usize {
        self.layout.max_rows.map_or(usize::MAX, |max| max.saturating_sub(self.rows))
    }

    /// Decides on the layout, and writes the head and the rows so far.
    fn start(&mut self) -> Result<(), Failure> {
        let types: &[String] = if self.layout.no_types { &[] } else { &self.types };
        let columns = Columns::fit(&self.names, types, &self.sample, self.layout.width);
        self.out.write_all(columns.rule('┌', '┬', '┐').as_bytes())?;
        self.out.write_all(columns.row(&self.names, &self.right).as_bytes())?;
        if !self.layout.no_types {
            self.out.write_all(columns.row(&self.types, &self.right).as_bytes())?;
        }
        self.out.write_all(columns.rule('├', '┼', '┤').as_bytes())?;
        for row in std::mem::take(&mut self.sample) {
            self.out.write_all(columns.row(&row, &self.right).as_bytes())?;
        }
        self.columns = Some(columns);
        Ok(())
    }
}

impl Sink for Table {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        let options = text::options().with_null("NULL");
        let formatters = batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
        let formatters = formatters.collect::<Result<Vec<_>, _>>().map_err(encoding)?;
        for row in 0..batch.num_rows().min(self.wanted()) {
            let cells =
                formatters.iter().map(|formatter| formatter.value(row).try_to_string().map(|text| printable(&text)));
            let cells = cells.collect::<Result<Vec<_>, _>>().map_err(encoding)?;
            match &self.columns {
                Some(columns) => self.out.write_all(columns.row(&cells, &self.right).as_bytes())?,
                None => self.sample.push(cells),
            }
        }
        self.rows += batch.num_rows();
        if self.columns.is_none() && self.sample.len() >= SAMPLE_ROWS {
            self.start()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Out, Failure> {
        if self.columns.is_none() {
            self.start()?;
        }
        let mut notes = Vec::new();
        if let Some(max) = self.layout.max_rows.filter(|max| self.rows > *max) {
            notes.push(format!("{} shown", thousands(max)));
        }
        if let Some(columns) = &self.columns {
            self.out.write_all(columns.rule('└', '┴', '┘').as_bytes())?;
            let shown = columns.shown.iter().flatten().count();
            if shown < self.names.len() {
                notes.push(format!("{shown} of {} columns shown", self.names.len()));
            }
        }
        let plural = if self.rows == 1 { "row" } else { "rows" };
        let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
        writeln!(self.out, "{} {plural}{notes}", thousands(self.rows))?;
        Ok(self.out)
    }
}

impl Columns {
    fn fit(names: &[String], types: &[String], sample: &[Vec<String>], room: Option<usize>) -> Self {
        let mut widths: Vec<usize> = names
            .iter()
            .enumerate()
            .map(|(i, name)| {
                let cells = sample.iter().filter_map(|row| row.get(i)).map(|cell| measure_text_width(cell));
                // A type's name may be long; it does not make a column wide.
                let type_width = types.get(i).map_or(0, |name| measure_text_width(name).min(NARROWEST));
                cells.max().unwrap_or(0).max(measure_text_width(name)).max(type_width).clamp(1, WIDEST)
            })
            .collect();
        let mut shown: Vec<Option<usize>> = (0..names.len()).map(Some).collect();
        if let Some(room) = room {
            shrink(&mut widths, room);
            leave_out(&mut shown, &mut widths, room);
        }
        Self { widths, shown }
    }

    fn row(&self, cells: &[String], right: &[bool]) -> String {
        let mut line = String::from("│");
        for (column, width) in self.shown.iter().zip(&self.widths) {
            let cell = column.map_or("…", |i| cells.get(i).map_or("", String::as_str));
            let cell = truncate_str(cell, *width, "…");
            let padding = " ".repeat(width.saturating_sub(measure_text_width(&cell)));
            let (before, after) = if column.is_some_and(|i| right.get(i) == Some(&true)) {
                (padding.as_str(), "")
            } else {
                ("", padding.as_str())
            };
            line.push_str(&format!(" {before}{cell}{after} │"));
        }
        line.push('\n');
        line
    }

    fn rule(&self, left: char, middle: char, right: char) -> String {
        let bars: Vec<String> = self.widths.iter().map(|width| "─".repeat(width + 2)).collect();
        format!("{left}{}{right}\n", bars.join(&middle.to_string()))
    }
}

/// Width of a table with these columns: each has a space on both sides and a bar.
fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + 3 * widths.len() + 1
}

/// Takes from the widest columns until all fit, or all are narrow.
fn shrink(widths: &mut [usize], room: usize) {
    while total(widths) > room {
        let Some(widest) = widths.iter_mut().max().filter(|width| **width > NARROWEST) else { return };
        *widest -= 1;
    }
}

/// Leaves out columns from the middle until the rest fits; one narrow column stands for them.
fn leave_out(shown: &mut Vec<Option<usize>>, widths: &mut Vec<usize>, room: usize) {
    if total(widths) <= room || widths.len() < 3 {
        return;
    }
    let middle = widths.len() / 2;
    if let (Some(column), Some(width)) = (shown.get_mut(middle), widths.get_mut(middle)) {
        *column = None;
        *width = 1;
    }
    let mut at = middle;
    while total(widths) > room && widths.len() > 2 {
        // Alternate sides, so that the first and the last columns stay.
        let left = at;
        let right = widths.len() - at - 1;
        let victim = if left >= right { at - 1 } else { at + 1 };
        if victim == 0 && widths.len() <= 3 {
            return;
        }
        shown.remove(victim);
        widths.remove(victim);
        at = shown.iter().position(Option::is_none).unwrap_or(at);
    }
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric() || matches!(data_type, DataType::Dictionary(_, values) if values.is_numeric())
}

/// Text that stays on its line and leaves the terminal alone.
fn printable(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    text.chars()
        .map(|c| match c {
            '\n' => '↵',
            '\t' => ' ',
            c if c.is_control() => '�',
            c => c,
        })
        .collect()
}

/// A count with separators: `336,776`.
pub fn thousands(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    fn render(batches: &[RecordBatch], layout: Layout) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.txt");
        let mut table = Box::new(Table::new(&batches[0].schema(), layout, Out::file(&path).unwrap()));
        for batch in batches {
            table.write(batch).unwrap();
        }
        table.finish().unwrap().finish().unwrap();
        std::fs::read_to_string(path).unwrap()
    }

    fn people() -> RecordBatch {
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("Ada\nL."), None]));
        let ages: ArrayRef = Arc::new(Int64Array::from(vec![36, 1000]));
        RecordBatch::try_from_iter_with_nullable([("name", names, true), ("age", ages, true)]).unwrap()
    }

    #[test]
    fn numbers_stand_on_the_right_and_newlines_do_not_break_lines() {
        let expected = "\
┌────────┬───────┐
│ name   │   age │
│ text   │ int64 │
├────────┼───────┤
│ Ada↵L. │    36 │
│ NULL   │  1000 │
└────────┴───────┘
2 rows
";
        assert_eq!(render(&[people()], Layout::default()), expected);
    }

    #[test]
    fn long_results_are_cut_and_counted() {
        let text = render(&[people(), people()], Layout { max_rows: Some(3), ..Layout::default() });
        assert_eq!(text.matches("│ Ada").count(), 2);
        assert_eq!(text.matches("│ NULL").count(), 1);
        assert!(text.ends_with("4 rows (3 shown)\n"), "{text}");
    }

    #[test]
    fn wide_results_fit_the_terminal() {
        let columns: Vec<(String, ArrayRef)> = (0..40)
            .map(|i| (format!("column_{i}"), Arc::new(StringArray::from(vec!["x".repeat(30 + i)])) as ArrayRef))
            .collect();
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let text = render(&[batch], Layout { width: Some(100), ..Layout::default() });
        assert!(text.lines().all(|line| measure_text_width(line) <= 100), "{text}");
        assert!(text.contains("column_0") && text.contains("column_39") && text.contains(" … "), "{text}");
        assert!(text.contains("of 40 columns shown"), "{text}");
    }

    #[test]
    fn counts_are_readable() {
        assert_eq!(thousands(5), "5");
        assert_eq!(thousands(1000), "1,000");
        assert_eq!(thousands(336_776), "336,776");
    }

    #[test]
    fn an_empty_result_still_shows_its_columns() {
        let text = render(&[people().slice(0, 0)], Layout::default());
        assert!(text.contains("│ name") && text.ends_with("0 rows\n"), "{text}");
    }
}

//! Running one statement and writing what comes of it.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use skein_client::{Client, Outcome, Params};

use crate::cli::{
    Failure,
    format::{self, Format, Layout, thousands},
    output::{self, Out},
};

/// Runs statements and writes their results in one format.
#[derive(Clone)]
pub struct Runner {
    /// The connection.
    pub client: Client,
    /// How rows are written.
    pub format: Format,
    /// The room for tables.
    pub layout: Layout,
    /// Whether to say how long a statement took.
    pub timing: bool,
}

impl Runner {
    /// Runs one statement; `results` is how many results the output holds already. Returns whether it wrote rows, and the
    /// output.
    pub async fn run(
        &self,
        statement: &str,
        params: &[String],
        out: Out,
        results: usize,
    ) -> Result<(bool, Out), Failure> {
        let start = Instant::now();
        let outcome = self.execute(statement, params).await?;
        let answer = match outcome {
            Outcome::Rows(_) if results > 0 && self.format.is_binary() => {
                return Err(Failure::usage("a Parquet or Arrow file holds one result, and this is the second"));
            }
            Outcome::Rows(rows) => {
                let (_, out) = format::write_stream(rows, self.format, self.layout, out).await?;
                (true, out)
            }
            Outcome::Done(count) => {
                self.done(count)?;
                (false, out)
            }
        };
        let (wrote_rows, mut out) = answer;
        if self.timing {
            // Behind the rows, also where both go to one terminal.
            out.flush()?;
            output::note(&format!("time: {}", duration(start.elapsed())));
        }
        Ok((wrote_rows, out))
    }

    async fn execute(&self, statement: &str, params: &[String]) -> Result<Outcome, Failure> {
        if params.is_empty() {
            return Ok(self.client.execute(statement).await?);
        }
        let prepared = self.client.prepare(statement).await?;
        let params = Params::row(params.iter().map(String::as_str));
        if prepared.is_query() {
            return Ok(Outcome::Rows(prepared.query(params).await?));
        }
        let count = prepared.update(params).await?;
        Ok(Outcome::Done(u64::try_from(count).ok()))
    }

    /// A statement without rows: people get a line, machines nothing on stdout.
    fn done(&self, count: Option<u64>) -> Result<(), Failure> {
        match self.format {
            Format::Table => output::line(&affected(count)),
            _ => {
                output::note(&affected(count));
                Ok(())
            }
        }
    }
}

/// `5 rows affected`, or `done` where that means nothing.
fn affected(count: Option<u64>) -> String {
    match count {
        Some(1) => "1 row affected".to_owned(),
        Some(count) => format!("{} rows affected", thousands(usize::try_from(count).unwrap_or(usize::MAX))),
        None => "done".to_owned(),
    }
}

/// `12.3 ms`, `4.56 s`, `3 min 20 s`.
fn duration(elapsed: Duration) -> String {
    match elapsed.as_secs() {
        0 => format!("{:.1} ms", elapsed.as_secs_f64() * 1000.0),
        1..=119 => format!("{:.2} s", elapsed.as_secs_f64()),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_and_times_read_well() {
        assert_eq!(affected(Some(1)), "1 row affected");
        assert_eq!(affected(Some(12_000)), "12,000 rows affected");
        assert_eq!(affected(None), "done");
        assert_eq!(duration(Duration::from_micros(1500)), "1.5 ms");
        assert_eq!(duration(Duration::from_millis(4560)), "4.56 s");
        assert_eq!(duration(Duration::from_secs(200)), "3 min 20 s");
    }
}

//! The only way to stdout and stderr.

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
};

use super::Failure;

/// Where results go: stdout, or a file that appears when it is complete.
pub enum Out {
    /// The process's stdout.
    Stdout(BufWriter<io::Stdout>),
    /// A file under a temporary name.
    File {
        /// The open file.
        writer: BufWriter<File>,
        /// The temporary name.
        part: PathBuf,
        /// The final name.
        path: PathBuf,
    },
}

impl Out {
    /// To stdout.
    pub fn stdout() -> Self {
        Self::Stdout(BufWriter::with_capacity(64 << 10, io::stdout()))
    }

    /// To a file, which is created or replaced by [`Out::finish`] and not before.
    pub fn file(path: &Path) -> Result<Self, Failure> {
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = File::create(&part).map_err(|error| cannot_write(path, &error))?;
        Ok(Self::File { writer: BufWriter::with_capacity(1 << 20, file), part, path: path.to_owned() })
    }

    /// Makes what was written visible.
    pub fn finish(&mut self) -> Result<(), Failure> {
        self.flush()?;
        if let Self::File { part, path, .. } = self {
            std::fs::rename(&*part, &*path).map_err(|error| cannot_write(path, &error))?;
        }
        Ok(())
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::new(super::Exit::Failed, format!("cannot write {}: {error}", path.display()))
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(writer) => writer.write(bytes),
            Self::File { writer, .. } => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(writer) => writer.flush(),
            Self::File { writer, .. } => writer.flush(),
        }
    }
}

impl Drop for Out {
    /// An unfinished file leaves nothing behind.
    fn drop(&mut self) {
        if let Self::File { part, .. } = self {
            let _ = std::fs::remove_file(part);
        }
    }
}

/// Writes text and a newline to stdout.
pub fn line(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    Ok(stdout.flush()?)
}

/// Writes text and a newline to stderr. If that fails there is nobody to tell.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether stdout is a terminal.
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether a person can be asked.
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks on stderr, and reads a line from stdin.
pub fn ask(question: &str) -> Result<String, Failure> {
    let mut stderr = io::stderr().lock();
    write!(stderr, "{question} ")?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(answer.trim().to_owned())
}

/// Columns of the terminal on stdout; `None` when it is something else.
pub fn terminal_width() -> Option<usize> {
    if !is_terminal() {
        return None;
    }
    Some(usize::from(console::Term::stdout().size().1).max(20))
}

/// Whether colours may be used on stderr.
fn colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// `error:`, in red where that is possible.
pub fn error_label() -> &'static str {
    if colours() { "\x1b[1;31merror:\x1b[0m" } else { "error:" }
}

/// `hint:`, in cyan where that is possible.
pub fn hint_label() -> &'static str {
    if colours() { "\x1b[36mhint:\x1b[0m" } else { "hint:" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_when_it_is_complete_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        let mut out = Out::file(&path).unwrap();
        out.write_all(b"half").unwrap();
        drop(out);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let mut out = Out::file(&path).unwrap();
        out.write_all(b"whole").unwrap();
        assert!(!path.exists());
        out.finish().unwrap();
        drop(out);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "whole");
    }
}

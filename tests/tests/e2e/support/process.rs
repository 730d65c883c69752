//! The `skein` binary, as a server and as a client of it.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
};

use tempfile::TempDir;

/// The binary: `SKEIN_BIN`, or the one next to this test's, which is built when it is missing or older than the test.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(named) = std::env::var_os("SKEIN_BIN") {
            return named.into();
        }
        let test = std::env::current_exe().unwrap();
        let path = test.parent().unwrap().parent().unwrap().join("skein");
        let changed = |path: &Path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        if changed(&path) < changed(&test) {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            // The whole workspace, so that dependencies keep the features they were built with.
            let build = ["build", "--quiet", "--workspace", "--bin", "skein"];
            let mut command = Command::new(cargo);
            // Set for the test, these would have build scripts run again, and with them half of the dependencies built anew.
            for (name, _) in std::env::vars().filter(|(name, _)| {
                name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "OUT_DIR"
            }) {
                command.env_remove(name);
            }
            assert!(command.args(build).status().unwrap().success());
        }
        path
    })
}

/// A `skein` command without anything of this process's configuration.
pub fn skein(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SKEIN")) {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// A `skein serve` that listens. Whoever starts it ends it.
pub struct Process {
    pub process: Child,
    pub url: String,
    /// What it says on its standard output.
    pub banner: String,
}

impl Process {
    /// Starts a server with its data in `data`, on a port of its own, and waits until it listens.
    pub fn serve(data: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut process = skein(&["serve", "--listen", "127.0.0.1:0", "--http-listen", "off", "--data"])
            .arg(data)
            .args(arguments)
            .env("SKEIN__TELEMETRY__LEVEL", "error")
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut banner = String::new();
        // The line for polars is the last.
        while !banner.contains("polars  ") {
            banner += &(lines.next().expect("the server ended before it listened").unwrap() + "\n");
        }
        let url = banner.split_whitespace().find(|word| word.starts_with("grpc")).unwrap().to_owned();
        Self { process, url, banner }
    }
}

/// A `skein serve` process with its data in a temporary folder.
pub struct Served {
    process: Child,
    pub url: String,
    pub banner: String,
    pub folder: TempDir,
}

impl Served {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With an environment of its own.
    pub fn start_in(environment: &[(&str, &str)]) -> Self {
        Self::spawn(&[], environment)
    }

    pub fn start_with(arguments: &[&str]) -> Self {
        Self::spawn(arguments, &[])
    }

    fn spawn(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let Process { process, url, banner } = Process::serve(&folder.path().join("data"), arguments, environment);
        Self { process, url, banner, folder }
    }

    /// A client command.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = skein(arguments);
        command.env("SKEIN_URL", &self.url).current_dir(self.folder.path());
        command
    }

    /// Runs a client command that must succeed; returns its stdout.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert_eq!(code(&output), 0, "{arguments:?}: {}", stderr(&output));
        stdout(&output)
    }

    /// Runs a client command that must fail with this exit code; returns its stderr.
    pub fn fail(&self, exit: i32, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert_eq!(code(&output), exit, "{arguments:?}: {}{}", stdout(&output), stderr(&output));
        let said = stderr(&output);
        // What went wrong, and what to do: a hint of ours, or the one to --help.
        assert!(!said.contains("error: ") || said.contains("hint: ") || said.contains("try '--help'"), "{said}");
        said
    }

    pub fn csv(&self, sql: &str) -> String {
        self.run(&["sql", "-F", "csv", sql])
    }

    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// SIGTERM, and the exit code that follows.
    pub fn terminate(mut self) -> Option<i32> {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.process.wait().unwrap().code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn code(output: &Output) -> i32 {
    output.status.code().expect("ended by itself")
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a command with text on its stdin.
pub fn with_stdin(command: &mut Command, text: &str) -> Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

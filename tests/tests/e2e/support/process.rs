//! The `skein` binary as a process of its own.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

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
    pub fn serve(data: &Path, arguments: &[&str]) -> Self {
        let mut process = skein(&["serve", "--listen", "127.0.0.1:0", "--http-listen", "off", "--data"])
            .arg(data)
            .args(arguments)
            .env("SKEIN__TELEMETRY__LEVEL", "error")
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

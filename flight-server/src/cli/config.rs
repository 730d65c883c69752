//! `skein config`: what a server would run with.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use super::{Failure, output};
use crate::config::{self, Config, Loaded, Sources};

/// For its help.
pub const EXAMPLES: &str = "\
Examples:
  skein config check --config skein.toml       every mistake at once, with key and line
  skein config print                           what is in effect, and where it comes from
  SKEIN__QUERY__MEMORY=8GiB skein config print --set server.listen=0.0.0.0:8815
  skein config reference                       every key, as Markdown

Every key can be set in the file, as a variable SKEIN__SECTION__KEY, or with --set SECTION.KEY=VALUE; the later wins.";

/// What `skein config` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Report every mistake at once; exit code 2 if there is one.
    Check(ConfigArgs),
    /// Print the effective configuration as TOML, with secrets masked and where each value comes from.
    Print(ConfigArgs),
    /// Print the reference of all keys as Markdown.
    Reference,
}

/// Where a configuration comes from, besides the environment.
#[derive(Debug, Clone, Default, ClapArgs)]
pub struct ConfigArgs {
    /// The configuration file (TOML).
    #[arg(short, long, value_name = "FILE", env = "SKEIN_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,
    /// Set any key; may be given more than once.
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
}

impl ConfigArgs {
    /// File, environment and `--set`.
    pub fn sources(&self) -> Result<Sources, Failure> {
        let mut sources = Sources::default().with_environment();
        if let Some(path) = &self.config {
            sources = sources.with_file(path);
        }
        for setting in &self.set {
            let (key, value) = setting.split_once('=').ok_or_else(|| {
                Failure::usage(format!("--set {setting}: there is no '='")).hint("write --set SECTION.KEY=VALUE")
            })?;
            sources = sources.with_flag(&format!("--set {setting}"), key.trim(), value);
        }
        Ok(sources)
    }

    fn load(&self) -> Result<Loaded, Failure> {
        Ok(Config::load(&self.sources()?)?)
    }
}

/// Runs `skein config`.
pub fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Check(from) => {
            from.load()?;
            output::line("the configuration is correct")
        }
        Command::Print(from) => output::line(config::effective(&from.load()?).trim_end()),
        Command::Reference => output::line(config::reference().trim_end()),
    }
}

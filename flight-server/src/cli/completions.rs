//! `skein completions`: scripts that complete commands and options in a shell.

use clap::{Args as ClapArgs, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Failure, output};

const EXAMPLES: &str = "\
Examples:
  skein completions bash > ~/.local/share/bash-completion/completions/skein
  skein completions zsh  > ~/.zfunc/_skein        with 'fpath+=~/.zfunc' in ~/.zshrc
  skein completions fish > ~/.config/fish/completions/skein.fish";

/// Arguments of `skein completions`.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The shell.
    shell: Shell,
}

/// Prints the script.
pub fn run(args: &Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "skein", &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end())
}

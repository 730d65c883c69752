//! Secrets come from a prompt, from stdin or from the environment; never from arguments, which others can see.

use std::{
    io::{ErrorKind, Read},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::{Exit, Failure, output};

/// The variable that `user create` and `user set-password` look at.
pub const NEW_PASSWORD: &str = "SKEIN_NEW_PASSWORD";

/// Held while a prompt has the terminal, which then does not echo.
static PROMPT: Mutex<()> = Mutex::new(());

/// Asks without showing what is typed.
pub fn prompt(question: &str) -> Result<String, Failure> {
    let _held = PROMPT.lock().unwrap_or_else(PoisonError::into_inner);
    rpassword::prompt_password(format!("{question} ")).map_err(|error| match error.kind() {
        // Ctrl-C and Ctrl-D: whoever typed them knows.
        ErrorKind::Interrupted | ErrorKind::UnexpectedEof => Failure::silent(Exit::Interrupted),
        _ => error.into(),
    })
}

/// Gives a prompt that Ctrl-C has ended the moment it needs to put the terminal back as it was. To be awaited before the
/// process ends.
pub async fn settle() {
    for _ in 0..50 {
        if PROMPT.try_lock().is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A new password: from stdin when asked to, else from `SKEIN_NEW_PASSWORD`, else typed twice.
pub fn new_password(user: &str, from_stdin: bool) -> Result<String, Failure> {
    let password = if from_stdin {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        text.trim_end_matches(['\r', '\n']).to_owned()
    } else if let Ok(password) = std::env::var(NEW_PASSWORD) {
        password
    } else if output::can_ask() {
        let password = prompt(&format!("New password of {user}:"))?;
        if prompt("Again:")? != password {
            return Err(Failure::usage("the two passwords differ"));
        }
        password
    } else {
        return Err(
            Failure::usage("there is no password").hint(format!("pass it through --password-stdin or {NEW_PASSWORD}"))
        );
    };
    if password.is_empty() {
        return Err(Failure::usage("the password is empty"));
    }
    Ok(password)
}

//! The token that says who we are, which may change while we run.

use std::io::{self, ErrorKind, Read};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant, SystemTime};

use serde::Deserialize;

use crate::settings::{Credentials, Program};

/// How long what a program printed is used if it does not say until when it is valid.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(600);
/// How long a program may take. Nothing is asked of the server meanwhile.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(30);

/// Where tokens come from, and the last one that a program printed.
#[derive(Debug)]
pub(super) struct Tokens {
    credentials: Credentials,
    printed: Mutex<Option<(String, Instant)>>,
    patience: Duration,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ExecCredential {
    status: ExecStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ExecStatus {
    token: String,
    expiration_timestamp: Option<String>,
}

impl Tokens {
    pub(super) fn new(credentials: Credentials) -> Self {
        Self { credentials, printed: Mutex::new(None), patience: PROGRAM_TIMEOUT }
    }

    /// The token to send now, if there is to be one. Files are read each time: somebody replaces them.
    pub(super) fn current(&self) -> Result<Option<String>, String> {
        match &self.credentials {
            Credentials::None => Ok(None),
            Credentials::Token(token) => Ok(Some(token.clone())),
            Credentials::TokenFile(path) => match std::fs::read_to_string(path) {
                Ok(text) => Ok(Some(text.trim().to_owned())),
                Err(error) => Err(format!("the token cannot be read: {}: {error}", path.display())),
            },
            Credentials::Program(program) => self.printed_by(program).map(Some),
        }
    }

    /// Forgets a token that was refused. Says whether another one may be better.
    pub(super) fn refused(&self) -> bool {
        match &self.credentials {
            Credentials::None | Credentials::Token(_) => false,
            Credentials::TokenFile(_) => true,
            Credentials::Program(_) => self.printed.lock().unwrap_or_else(PoisonError::into_inner).take().is_some(),
        }
    }

    fn printed_by(&self, program: &Program) -> Result<String, String> {
        let mut printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((token, until)) = &*printed
            && Instant::now() < *until
        {
            return Ok(token.clone());
        }
        let name = &program.command;
        let version = match program.api_version.as_str() {
            "" => "client.authentication.k8s.io/v1",
            version => version,
        };
        let info =
            serde_json::json!({ "apiVersion": version, "kind": "ExecCredential", "spec": { "interactive": false } });
        let mut command = Command::new(name);
        command
            .args(&program.arguments)
            .env("KUBERNETES_EXEC_INFO", info.to_string())
            .envs(program.environment.iter().map(|(name, value)| (name, value)));
        let output = output_of(command, self.patience).map_err(|error| match error.kind() {
            ErrorKind::TimedOut => {
                let seconds = self.patience.as_secs_f64();
                format!("the program {name} that gives credentials printed none within {seconds} s, and was ended")
            }
            _ => format!("the program {name} that gives credentials cannot be run: {error}"),
        })?;
        if !output.status.success() {
            return Err(format!("the program {name} that gives credentials failed: {}", output.status));
        }
        let credential: ExecCredential = serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("the program {name} printed no credentials: {error}"))?;
        if credential.status.token.is_empty() {
            return Err(format!("the program {name} printed no token; certificates are not taken from programs"));
        }
        let until = credential.status.expiration_timestamp.as_deref().and_then(until).unwrap_or(DEFAULT_LIFETIME);
        *printed = Some((credential.status.token.clone(), Instant::now() + until));
        Ok(credential.status.token)
    }
}

/// What a program prints. One that takes longer is killed; what it started itself may go on, and is not waited for.
fn output_of(mut command: Command, patience: Duration) -> io::Result<Output> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
    let mut printed = child.stdout.take().ok_or_else(|| io::Error::other("its output is not piped"))?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut stdout = Vec::new();
        // Nobody may wait for it any more.
        let _ = sender.send(printed.read_to_end(&mut stdout).map(|_| stdout));
    });
    let Ok(stdout) = receiver.recv_timeout(patience) else {
        // It may have ended meanwhile.
        let _ = child.kill();
        child.wait()?;
        return Err(ErrorKind::TimedOut.into());
    };
    Ok(Output { status: child.wait()?, stdout: stdout?, stderr: Vec::new() })
}

/// For how long from now, less a margin.
fn until(time: &str) -> Option<Duration> {
    let time: jiff::Timestamp = time.parse().ok()?;
    let until = SystemTime::from(time).duration_since(SystemTime::now()).unwrap_or_default();
    Some(until.saturating_sub(Duration::from_secs(10)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(script: &str, patience: Duration) -> Tokens {
        let arguments = vec!["-c".to_owned(), script.to_owned()];
        let program =
            Program { command: "sh".to_owned(), arguments, environment: Vec::new(), api_version: String::new() };
        Tokens { patience, ..Tokens::new(Credentials::Program(program)) }
    }

    #[test]
    fn a_program_that_prints_no_token_in_time_is_ended_and_named() {
        // The second leaves a process behind that holds its output open.
        for script in ["exec sleep 600", "sleep 5 & exit 0"] {
            let error = program(script, Duration::from_millis(200)).current().unwrap_err();
            let expected = "the program sh that gives credentials printed none within 0.2 s, and was ended";
            assert_eq!(error, expected, "{script}");
        }
        let printed = r#"echo '{"status": {"token": "t"}}'"#;
        assert_eq!(program(printed, PROGRAM_TIMEOUT).current(), Ok(Some("t".to_owned())));
    }
}

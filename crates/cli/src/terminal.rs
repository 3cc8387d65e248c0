//! All output of the program: what goes to which stream, in which colours, and the exit code of a call.
//!
//! Standard output is buffered and sent before anything goes to standard error, so the two keep their order on a
//! terminal. A reader that goes away early (`tortie get ... | head`) is no error: what was to be done is done.

use std::fmt::Display;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::persona::Persona;

/// How a command ended that said itself what there was to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All went well.
    Done,
    /// Something did not, or the answer is no; it has been said.
    Failed,
    /// The question could not be answered; why has been said.
    Unanswered,
    /// The lock-out guard refused the change; why has been said.
    Refused,
}

/// The command line itself is wrong.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// There is no store to talk to. calicoctl says this on standard output.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NoStore(pub(crate) String);

/// All there is to say has been said.
#[derive(Debug, thiserror::Error)]
#[error("reported")]
struct Reported;

/// An error that has been shown already and only ends the call.
pub(crate) fn reported() -> anyhow::Error {
    Reported.into()
}

/// Standard output and standard error of this call.
pub(crate) struct Terminal {
    persona: Persona,
    out: BufWriter<io::Stdout>,
    colour_out: bool,
    colour_err: bool,
    /// A line about what is going on stands on the terminal, to be taken away again.
    status: bool,
    broken: Option<io::Error>,
}

impl Terminal {
    /// The terminal, or what stands for it.
    pub(crate) fn new(persona: Persona) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self {
            persona,
            out: BufWriter::with_capacity(64 * 1024, io::stdout()),
            colour_out: wanted && !persona.is_calicoctl() && io::stdout().is_terminal(),
            colour_err: wanted && !persona.is_calicoctl() && io::stderr().is_terminal(),
            status: false,
            broken: None,
        }
    }

    /// Whether tables are coloured.
    pub(crate) fn colour_out(&self) -> bool {
        self.colour_out
    }

    /// Whether messages are coloured.
    pub(crate) fn colour_err(&self) -> bool {
        self.colour_err
    }

    /// Tells a person at a terminal what is going on, until something else is printed.
    pub(crate) fn status(&mut self, text: impl Display) {
        if io::stderr().is_terminal() && !self.persona.is_calicoctl() {
            say(&format!("{CLEAR}{text}"));
            self.status = true;
        }
    }

    /// Takes the status line away.
    fn clear(&mut self) {
        if std::mem::take(&mut self.status) {
            say(CLEAR);
        }
    }

    /// A result, as it is.
    pub(crate) fn print(&mut self, text: &str) {
        self.clear();
        if self.broken.is_none()
            && let Err(error) = self.out.write_all(text.as_bytes())
        {
            self.broken = Some(error);
        }
    }

    /// A result, as a line.
    pub(crate) fn line(&mut self, text: impl Display) {
        self.print(&format!("{text}\n"));
    }

    /// Something to know beside the result, as a line.
    pub(crate) fn note(&mut self, text: impl Display) {
        self.clear();
        self.flush();
        say(&format!("{text}\n"));
    }

    /// What went wrong, as the persona says it.
    pub(crate) fn error(&mut self, text: impl Display) {
        if self.persona.is_calicoctl() {
            self.note(text);
        } else if self.colour_err {
            self.note(format_args!("\x1b[1;31merror\x1b[0m: {text}"));
        } else {
            self.note(format_args!("error: {text}"));
        }
    }

    /// Sends what has been printed.
    pub(crate) fn flush(&mut self) {
        if self.broken.is_none()
            && let Err(error) = self.out.flush()
        {
            self.broken = Some(error);
        }
    }

    /// Whether nobody reads what is printed any more.
    pub(crate) fn is_broken(&self) -> bool {
        let out = io::stdout();
        // Errors and the end of the reader are told whatever is asked for.
        let mut asked = [PollFd::new(&out, PollFlags::empty())];
        let is_ready = poll(&mut asked, Some(&Timespec::default())).is_ok_and(|count| count > 0);
        self.broken.is_some() || (is_ready && asked[0].revents().intersects(PollFlags::ERR | PollFlags::HUP))
    }

    /// Ends the call.
    pub(crate) fn finish(mut self, result: anyhow::Result<Exit>) -> ExitCode {
        self.clear();
        let mut code = match result {
            Ok(Exit::Done) => 0,
            Ok(Exit::Failed) => 1,
            Ok(Exit::Unanswered | Exit::Refused) => 2,
            Err(error) => self.fail(&error),
        };
        self.flush();
        if let Some(error) = self.broken.take().filter(|error| error.kind() != ErrorKind::BrokenPipe) {
            self.error(format_args!("cannot write to standard output: {error}"));
            // 1 is an answer of some commands; calicoctl has no other number.
            code = if self.persona.is_calicoctl() { 1 } else { 2 };
        }
        ExitCode::from(code)
    }

    /// Prints the error unless it was printed already. Returns the exit code.
    pub(crate) fn fail(&mut self, error: &anyhow::Error) -> u8 {
        if error.is::<Reported>() {
            return 1;
        }
        if self.persona.is_calicoctl() && error.is::<NoStore>() {
            self.line(format_args!("Failed to create Calico API client: {error}"));
            return 1;
        }
        self.error(format_args!("{error:#}"));
        if error.is::<Usage>() && !self.persona.is_calicoctl() { 2 } else { 1 }
    }
}

/// Takes the line of a terminal away.
const CLEAR: &str = "\r\x1b[K";

/// Writes to standard error, in one call: what other processes write there at the same time stands before or after it.
pub(crate) fn say(text: &str) {
    // There is nobody left to tell that standard error is gone.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// A number of things in words: `1 object`, `2 objects`.
pub(crate) fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

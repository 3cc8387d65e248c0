//! The `tortie` binary: one name, one command, one exit code.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod allocator;
mod args;
mod ask;
mod author;
mod batch;
mod calico_api_config;
mod calicoctl_messages;
mod commands;
mod confirm;
mod enforcement_warning;
mod problem_text;

mod calicoctl_help;
mod foreign_summary;
mod foreign_tables;
mod in_force;
mod input;
mod label_filter;
mod local_facts;
mod lock_out_guard;
mod managed_by;
mod namespace;
mod output;
mod persona;
mod placement_warning;
mod plan;
mod preview;
mod services;
mod session;
mod snapshot;
mod ssh;
mod store;
mod store_warnings;
mod target;
mod terminal;
mod translated_ports;
mod usage_errors;
mod workload_endpoint_name;
mod written_together;

use std::process::ExitCode;

use clap::FromArgMatches;

use crate::args::Cli;
use crate::persona::Persona;
use crate::session::Session;
use crate::terminal::Terminal;

#[cfg(not(feature = "faults"))]
fn main() -> ExitCode {
    program()
}

/// With the deliberate mistake on that TORTIE_FAULTS names, for tests.
#[cfg(feature = "faults")]
fn main() -> ExitCode {
    match std::env::var("TORTIE_FAULTS") {
        Ok(name) => tortie_testkit::faults::with(name.leak(), program),
        Err(_) => program(),
    }
}

fn program() -> ExitCode {
    let argv = args::plain_flags(std::env::args_os());
    let persona = Persona::of(argv.first().map_or("tortie".as_ref(), |arg| arg.as_os_str()));
    let mut terminal = Terminal::new(persona);
    let parsed = args::command(persona).try_get_matches_from(&argv);
    match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(Cli { global, command }) => {
            let mut session = Session { persona, global, terminal };
            let result = commands::run(command, &mut session);
            session.terminal.finish(result)
        }
        Err(error) => {
            let code = usage_errors::report(error, persona, &argv, &mut terminal);
            let ended = terminal.finish(Ok(terminal::Exit::Done));
            if code == 0 { ended } else { ExitCode::from(code) }
        }
    }
}

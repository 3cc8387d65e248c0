//! Mistakes in the command line: ours as clap words them (exit code 2), calicoctl's as its own parser does (1).

use std::ffi::OsString;

use clap::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use tortie_api::duration;

use crate::args;
use crate::persona::Persona;
use crate::target;
use crate::terminal::Terminal;

/// Prints the error, or the help that was asked for. Returns the exit code.
pub(crate) fn report(mut error: Error, persona: Persona, typed: &[OsString], terminal: &mut Terminal) -> u8 {
    if !error.use_stderr() {
        terminal.print(&error.render().to_string());
        return 0;
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        if persona.is_calicoctl() {
            terminal.print(&error.render().to_string());
            return 0;
        }
        terminal.note(error.render().to_string().trim_end());
        return 2;
    }
    if persona.is_calicoctl() {
        terminal.note(cobra(&error, persona, typed));
        return 1;
    }
    if error.kind() == ErrorKind::InvalidSubcommand {
        terminal.error(unknown_command(&error, persona));
        return 2;
    }
    drop_far_suggestion(&mut error);
    let text = error.render();
    let text = if terminal.colour_err() { text.ansi().to_string() } else { text.to_string() };
    terminal.note(text.trim_end());
    if let Some(tip) = confirm_tip(&error, typed) {
        terminal.note(format_args!("\n  tip: {tip}"));
    } else if let Some(tip) = explain_tip(&error, typed) {
        terminal.note(format_args!("\n  tip: {tip}"));
    } else if let Some(file) = file_without_flag(&error) {
        terminal.note(format_args!("\n  tip: manifests are given with -f: `-f {file}`"));
    }
    2
}

/// A flag that is proposed must be the longer form of what was typed, or a slip away from it.
fn drop_far_suggestion(error: &mut Error) {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.trim_start_matches('-').to_owned(),
        _ => String::new(),
    };
    let (typed, near) = (text(ContextKind::InvalidArg), text(ContextKind::SuggestedArg));
    let slips = (typed.chars().count() / 3).min(2);
    // It is two letters away from `--config`, which has nothing to do with it.
    let is_confirm = typed == "confirm";
    if (is_confirm && !near.is_empty())
        || !near.is_empty() && !near.starts_with(&typed) && strsim::damerau_levenshtein(&typed, &near) > slips
    {
        error.remove(ContextKind::SuggestedArg);
        error.remove(ContextKind::Usage);
    }
}

/// What to do where `--confirm` was given as it is not taken.
fn confirm_tip(error: &Error, typed: &[OsString]) -> Option<String> {
    let (ErrorKind::UnknownArgument, Some(ContextValue::String(wrong))) =
        (error.kind(), error.get(ContextKind::InvalidArg))
    else {
        return None;
    };
    if wrong == "--confirm" {
        return Some("only `apply`, `create`, `replace` and `delete` take --confirm".to_owned());
    }
    let before = typed.windows(2).find(|pair| pair[1] == wrong.as_str())?;
    let is_time = duration::parse(wrong).is_ok();
    (before[0] == "--confirm" && is_time).then(|| format!("the time stands behind an equals sign: `--confirm={wrong}`"))
}

/// What to write where a question to `explain` has too many words.
fn explain_tip(error: &Error, typed: &[OsString]) -> Option<String> {
    let (ErrorKind::UnknownArgument, Some(ContextValue::String(wrong))) =
        (error.kind(), error.get(ContextKind::InvalidArg))
    else {
        return None;
    };
    let words: Vec<&str> = typed.iter().filter_map(|word| word.to_str()).collect();
    let at = words.iter().position(|word| *word == "explain").filter(|at| *at == 1)?;
    let is_between = |word: &&&str| matches!(**word, "to" | "->" | "from" | "on" | "port" | "over");
    if words[at..].iter().any(|word| is_between(&word)) {
        return Some("FROM, TO and PROTOCOL/PORT follow each other without words between them".to_owned());
    }
    if wrong.starts_with("--port") || wrong.starts_with("--protocol") {
        return Some("the protocol and the port are the third word: `tortie explain FROM TO tcp/80`".to_owned());
    }
    let protocol = words.windows(2).find(|pair| pair[1] == wrong.as_str())?[0].to_ascii_lowercase();
    let has_ports = matches!(protocol.as_str(), "tcp" | "udp" | "sctp" | "udplite");
    (has_ports && !wrong.starts_with('-'))
        .then(|| format!("the protocol and the port are one word: `{protocol}/{wrong}`"))
}

/// A file that was named as kubectl names none, without `-f`.
fn file_without_flag(error: &Error) -> Option<&str> {
    match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(word))) if !word.starts_with('-') => {
            (target::looks_like_file(word) || std::path::Path::new(word).is_dir()).then_some(word)
        }
        _ => None,
    }
}

/// Words of other programs, and what does the same here.
const ELSEWHERE: [(&str, &str); 20] = [
    ("list", "get"),
    ("ls", "get"),
    ("show", "get"),
    ("describe", "get"),
    ("view", "get"),
    ("add", "create"),
    ("new", "create"),
    ("update", "apply"),
    ("set", "apply"),
    ("edit", "patch"),
    ("check", "validate"),
    ("lint", "validate"),
    ("why", "explain"),
    ("trace", "explain"),
    ("can-i", "explain"),
    ("run", "agent"),
    ("start", "agent"),
    ("daemon", "agent"),
    ("export", "backup"),
    ("dump", "backup"),
];

/// The message for a command that does not exist. It suggests one if that is certain enough: the same verb in the words of other
/// programs, a slip of one or two letters, or the beginning of just one. What deletes, overwrites or puts back, or switches
/// enforcement, is never guessed.
fn unknown_command(error: &Error, persona: Persona) -> String {
    let typed = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let meant = match ELSEWHERE.iter().find(|(word, _)| word.eq_ignore_ascii_case(typed)) {
        Some((_, command)) => Some((*command).to_owned()),
        None => meant(&typed.to_lowercase(), persona),
    };
    let program = persona.name();
    match meant {
        Some(command) => format!("there is no command '{typed}'; did you mean `{program} {command}`?"),
        None => format!("there is no command '{typed}'; `{program} help` lists the commands"),
    }
}

fn meant(typed: &str, persona: Persona) -> Option<String> {
    const NOT_SUGGESTED: [&str; 5] = ["delete", "restore", "undo", "off", "on"];
    // A letter away from `top`, which has nothing to do with it.
    if typed == "stop" {
        return None;
    }
    let command = args::command(persona);
    let all = command.get_subcommands().filter(|sub| !sub.is_hide_set()).map(clap::Command::get_name);
    let names: Vec<&str> = all.filter(|name| !NOT_SUGGESTED.contains(name)).collect();
    let slips = typed.chars().count() / 3;
    let near = names.iter().map(|name| (strsim::damerau_levenshtein(typed, name), *name));
    let near = near.filter(|(distance, _)| *distance <= slips.min(2)).min();
    let mut longer = names.iter().filter(|name| typed.len() > 1 && name.starts_with(typed));
    let only = longer.next().filter(|_| longer.next().is_none());
    near.map(|(_, name)| name).or(only.copied()).map(str::to_owned)
}

/// What calicoctl's parser would say; clap's own words where it has none for the case.
fn cobra(error: &Error, persona: Persona, typed: &[OsString]) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let arg = text(ContextKind::InvalidArg);
    match (error.kind(), arg) {
        (ErrorKind::UnknownArgument, Some(arg)) if arg.starts_with("--") => format!("unknown flag: {arg}"),
        (ErrorKind::UnknownArgument, Some(arg)) if arg.starts_with('-') => {
            let letter: String = arg.chars().skip(1).take(1).collect();
            let letters = |word: &&str| word.starts_with('-') && !word.starts_with("--") && word.contains(&letter);
            let word = typed.iter().filter_map(|word| word.to_str()).find(letters).unwrap_or(&arg);
            format!("unknown shorthand flag: '{letter}' in {word}")
        }
        (ErrorKind::InvalidSubcommand, _) => {
            let typed = text(ContextKind::InvalidSubcommand).unwrap_or_default();
            let near = near(&typed, persona);
            let near = if near.is_empty() { near } else { format!("\n\nDid you mean this?\n{near}") };
            format!("unknown command \"{typed}\" for \"{}\"{near}", persona.name())
        }
        (ErrorKind::InvalidValue, Some(arg)) if text(ContextKind::InvalidValue).is_none_or(|v| v.is_empty()) => {
            // The argument is missing because the flag is the last word.
            let last = typed.last().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
            match last.strip_prefix('-').filter(|letters| !letters.starts_with('-')).and_then(|l| l.chars().last()) {
                Some(letter) => format!("flag needs an argument: '{letter}' in {last}"),
                None => format!("flag needs an argument: {}", arg.split_whitespace().next().unwrap_or_default()),
            }
        }
        (ErrorKind::TooManyValues, Some(arg)) => {
            let value = text(ContextKind::InvalidValue).unwrap_or_default();
            format!(
                "invalid argument {value:?} for \"{arg}\" flag: strconv.ParseBool: parsing {value:?}: invalid syntax"
            )
        }
        _ => {
            let text = error.render().to_string();
            let text = text.split("\n\nUsage:").next().unwrap_or(&text);
            text.trim_start_matches("error: ").trim_end().to_owned()
        }
    }
}

/// The commands that were perhaps meant, a line each: two changes away, or longer.
fn near(typed: &str, persona: Persona) -> String {
    let command = args::command(persona);
    let near = command.get_subcommands().filter(|sub| !sub.is_hide_set()).map(clap::Command::get_name);
    // Any word of two letters is two changes away from `on`.
    let is_near = |name: &str| strsim::levenshtein(typed, name) <= 2.min(name.len() - 1);
    let near = near.filter(|name| is_near(name) || name.starts_with(typed));
    near.map(|name| format!("\t{name}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_suggestion_deletes_overwrites_puts_back_or_switches_enforcement() {
        let persona = Persona::Tortie;
        let never = ["delete", "restore", "undo", "off", "on"];
        let letters = "abcdefghijklmnopqrstuvwxyz";
        for name in never {
            // Every word that is one letter away, and every beginning.
            let mut words: Vec<String> = (0..=name.len()).map(|end| name[..end].to_owned()).collect();
            for at in 0..=name.len() {
                words.extend(letters.chars().map(|letter| format!("{}{letter}{}", &name[..at], &name[at..])));
                if at < name.len() {
                    words.push(format!("{}{}", &name[..at], &name[at + 1..]));
                    words.extend(letters.chars().map(|letter| format!("{}{letter}{}", &name[..at], &name[at + 1..])));
                }
            }
            for word in words {
                let meant = meant(&word, persona).unwrap_or_default();
                assert!(!never.contains(&meant.as_str()), "{word}: {meant}");
            }
        }
        assert!(ELSEWHERE.iter().all(|(_, command)| !never.contains(command)));
        assert_eq!(meant("stop", persona), None);
        assert_eq!(meant("statsu", persona).as_deref(), Some("status"));
    }
}

//! What a failed tag means, in words that help: what is allowed, what is wrong with this value, what to write instead.

use serde_json::Value;
use tortie_api::{Path, Step};
use tortie_net::{AddressError, parse_address, parse_cidr, parse_net};
use tortie_selector::Selector;

use crate::other_syntax;
use crate::problem::Problem;
use crate::selector_text;
use crate::validate::formats;
use crate::validate::suggest::{self, Dots};

/// Adds message, help and span.
pub(super) fn explain(problem: Problem, tag: &str, argument: &str, value: Option<&Value>) -> Problem {
    match value {
        Some(Value::String(text)) => explain_text(problem, tag, argument, text),
        None if matches!(tag, "required" | "gt" | "gte") => problem.message("a value is missing"),
        None => explain_text(problem, tag, argument, ""),
        Some(value) => explain_other(problem, tag, argument, value),
    }
}

fn explain_text(problem: Problem, tag: &str, argument: &str, text: &str) -> Problem {
    match tag {
        "required" => problem.message("a value is missing"),
        "name" => explain_name(problem, text, "a name", Dots::Any),
        "selector" => match Selector::parse(text) {
            Err(error) => {
                let whole = selector_text::of_text(text, &problem.path);
                let problem = problem.span(error.span()).message(format!("not a selector: {error}"));
                match whole.as_deref().or(error.hint()) {
                    Some(hint) => problem.help(hint),
                    None => problem,
                }
            }
            Ok(_) => problem,
        },
        "interface" => explain_word(problem, text, "interface names", 15, "_.-", "or be `*` alone"),
        "ignoredInterface" | "bgpFilterInterface" => explain_word(problem, text, "interface names", 15, "_.*-", ""),
        "ifaceFilter" => explain_word(problem, text, "interface names", 15, ":._+-", "a `+` stands for any ending"),
        "prometheusHost" => explain_word(problem, text, "host names", 64, ":._+-", ""),
        "containerID" => {
            let message = format!("a container ID has letters, digits and inner `-`; this is read as `{text}`");
            problem.message(message)
        }
        "dscp" => explain_dscp(problem, text),
        "portName" => explain_port_name(problem, text),
        "mac" => problem.message(format!("`{text}` is not a hardware address")).help("write it like 00:1b:44:11:3a:b7"),
        "ip" | "ipv4" | "ipv6" | "reachableBy" => explain_address(problem, tag, text),
        "net" | "netv4" | "netv6" | "cidr" | "cidrv4" | "cidrv6" => explain_net(problem, tag, text),
        "IP:port" => problem
            .message(format!("`{text}` is not the address of a peer"))
            .help("write 10.0.0.1, 10.0.0.1:179, fd00::1 or [fd00::1]:179"),
        "oneof" => one_of(problem, text, argument.split(' ')),
        "ipType" => one_of(problem, text, ["CalicoNodeIP", "InternalIP", "ExternalIP"]),
        "createDefaultHostEndpoint" => one_of(problem, text, ["Enabled", "Disabled"]),
        "keyValueList" => problem.message("this must be a list like `key=value,other=value`"),
        "regexp" => problem.message(format!("`{text}` is not a regular expression")),
        "wireguardPublicKey" => problem.message("a WireGuard key is 32 bytes in base64, 44 characters"),
        _ => problem,
    }
}

fn explain_dscp(problem: Problem, shown: &str) -> Problem {
    problem
        .message(format!("`{shown}` is not a class of service"))
        .help("write 0 to 63, or one of DF, EF, AF11 to AF43, CS0 to CS6")
}

fn explain_other(problem: Problem, tag: &str, argument: &str, value: &Value) -> Problem {
    match (tag, value) {
        ("dscp", value) => explain_dscp(problem, &value.to_string()),
        ("unique", _) => problem.message("the same value is given twice here").help("remove one of them"),
        ("gt", _) => problem.message(format!("this must be above {argument}; it is {value}")),
        ("gte", _) => problem.message(format!("this must be at least {argument}; it is {value}")),
        ("lt", _) => problem.message(format!("this must be below {argument}; it is {value}")),
        ("lte", _) => problem.message(format!("this must be at most {argument}; it is {value}")),
        ("cidrs", Value::Array(items)) => {
            let wrong =
                items.iter().filter_map(Value::as_str).find(|text| !text.is_empty() && parse_cidr(text).is_err());
            problem.message(format!("`{}` is not an address or net", wrong.unwrap_or_default()))
        }
        ("labels", Value::Object(fields)) => {
            let errors = fields.iter().flat_map(|(key, value)| {
                let value = value.as_str().unwrap_or_default();
                let key_errors = formats::label_key_errors(key).into_iter().map(move |error| (key.as_str(), error));
                key_errors.chain(formats::label_value_errors(value).into_iter().map(move |error| (value, error)))
            });
            match errors.into_iter().next() {
                Some((text, error)) => {
                    problem.message(format!("`{text}` cannot be part of a label: {}", formats::in_short(&error)))
                }
                None => problem,
            }
        }
        _ => problem,
    }
}

/// A name that does not fit; says why and suggests one that does.
pub(in crate::validate) fn explain_name(problem: Problem, text: &str, what: &str, dots: Dots) -> Problem {
    let problem = match name_fault(text) {
        _ if text.is_empty() => return problem.message(format!("{what} is missing")),
        Some(c) => {
            let at = text.find(c).unwrap_or_default();
            let word = match c {
                '_' => "an underscore".to_owned(),
                ' ' => "a space".to_owned(),
                '\n' => "a line break".to_owned(),
                c if c.is_uppercase() => format!("the capital letter `{c}`"),
                c => format!("`{c}`"),
            };
            let message = format!("{what} has lower-case letters, digits, `-` and `.`; `{text}` has {word}");
            problem.message(message).span(at..at + c.len_utf8())
        }
        None => problem.message(format!(
            "each part of {what} begins and ends with a lower-case letter or digit; `{text}` does not"
        )),
    };
    match suggest::name(text, dots) {
        // Only that: a block of text was written for a word.
        Some(name) if text.trim_end_matches('\n') == name => problem.help(format!(
            "write `{name}` on the line of its field: in YAML, `>` and `|` keep the line break at the end of the text"
        )),
        Some(name) => problem.help(format!("`{name}` would work")),
        None => problem,
    }
}

fn name_fault(text: &str) -> Option<char> {
    text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-' | '.'))
}

fn explain_word(problem: Problem, text: &str, what: &str, longest: usize, others: &str, more: &str) -> Problem {
    let count = text.chars().count();
    if text.is_empty() {
        return problem.message(format!("a value is missing; {what} have 1 to {longest} characters"));
    }
    let fault = text.char_indices().find(|(_, c)| !c.is_ascii_alphanumeric() && !others.contains(*c));
    if let Some((at, c)) = fault {
        let allowed = suggest::either(others.split("").filter(|c| !c.is_empty()));
        let more = if more.is_empty() { String::new() } else { format!(", {more}") };
        let message = format!("{what} have letters, digits, {allowed}{more}; this has `{c}`");
        return problem.message(message).span(at..at + c.len_utf8());
    }
    problem.message(format!("{what} have at most {longest} characters; this has {count}"))
}

fn explain_port_name(problem: Problem, text: &str) -> Problem {
    if let Some(range) = crate::read::port_range(text) {
        return problem.message(format!("`{text}` is not a range of ports")).help(format!("write `{range}`"));
    }
    let fault = text.char_indices().find(|(_, c)| !matches!(c, 'a'..='z' | '0'..='9' | '-'));
    let problem = if text.is_empty() {
        return problem.message("a port's name is missing");
    } else if let Some((at, c)) = fault {
        let message = format!("names of ports have lower-case letters, digits and inner `-`; `{text}` has `{c}`");
        problem.message(message).span(at..at + c.len_utf8())
    } else if text.len() > 15 {
        return problem.message(format!("names of ports have at most 15 characters; `{text}` has {}", text.len()));
    } else if !text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return problem.message(format!("names of ports have at least one letter; `{text}` has none"));
    } else {
        problem.message(format!("`-` in names of ports stands alone and not at the ends; `{text}` has it otherwise"))
    };
    match suggest::name(text, Dots::None).filter(|name| formats::is_port_name(name)) {
        Some(name) => problem.help(format!("`{name}` would work")),
        None => problem,
    }
}

fn explain_address(problem: Problem, tag: &str, text: &str) -> Problem {
    let family = match tag {
        "ipv4" => "an IPv4 address",
        "ipv6" => "an IPv6 address",
        _ => "an IP address",
    };
    if let Some((address, _)) = text.split_once('/')
        && parse_address(address).is_ok()
    {
        let message = format!("this must be {family} alone; `{text}` is a net");
        return problem.message(message).help(format!("write `{address}`"));
    }
    problem.message(format!("`{text}` is not {family}"))
}

fn explain_net(problem: Problem, tag: &str, text: &str) -> Problem {
    let family = match tag {
        "netv4" | "cidrv4" => "an IPv4 net",
        "netv6" | "cidrv6" => "an IPv6 net",
        _ => "a net",
    };
    match if tag.starts_with("net") { parse_net(text) } else { parse_cidr(text) } {
        Err(AddressError::HostBits { masked, .. }) => problem
            .message(format!("`{text}` has bits set beyond its prefix length"))
            .help(format!("the net is `{masked}`")),
        Err(_) => {
            let is_of_rule = is_of_rule(&problem.path);
            let help = other_syntax::net(text, is_of_rule);
            let help = help.unwrap_or_else(|| "write it like 10.0.0.0/8 or fd00::/64".to_owned());
            problem.message(format!("`{text}` is not {family}")).help(help)
        }
        Ok(_) => problem.message(format!("`{text}` is not {family}")),
    }
}

/// Whether this is one of the nets that a rule matches.
fn is_of_rule(path: &Path) -> bool {
    let is_rule = |step: &Step| matches!(step, Step::Key(name) if name == "ingress" || name == "egress");
    path.0.iter().any(is_rule) && matches!(path.0.as_slice(), [.., Step::Key(name), Step::Index(_)] if name == "nets")
}

/// One of some words, and which one was probably meant.
pub(in crate::validate) fn one_of<'a>(
    problem: Problem,
    text: &str,
    words: impl IntoIterator<Item = &'a str> + Clone,
) -> Problem {
    let allowed = suggest::either(words.clone());
    let problem = match text {
        "" => problem.message(format!("a value is missing; it must be {allowed}")),
        text => problem.message(format!("`{text}` is not {allowed}")),
    };
    let near = suggest::nearest(text, words.clone()).map(|word| format!("did you mean `{word}`?"));
    match near.or_else(|| other_syntax::action(text, words.into_iter())) {
        Some(help) => problem.help(help),
        None => problem,
    }
}

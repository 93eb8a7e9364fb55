//! Every key under which something is logged or traced is one of those that the documents list, and the other way round.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use daemon::telemetry::KEYS;
use regex::Regex;

#[test]
fn the_keys_in_the_code_are_those_in_the_documents() {
    let mut found = BTreeSet::new();
    let top = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    for folder in fs::read_dir(top).unwrap() {
        let src = folder.unwrap().path().join("src");
        if src.is_dir() {
            search(&src, &mut found);
        }
    }
    let listed = KEYS.iter().map(|(key, _)| (*key).to_owned()).collect();
    let new: Vec<_> = found.difference(&listed).collect();
    assert!(new.is_empty(), "add to `daemon::telemetry::KEYS`, or use another: {new:?}");
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(gone.is_empty(), "nothing is logged under {gone:?}");
}

fn search(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.extend(keys(&fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The keys of all macros in a file that log or trace.
fn keys(source: &str) -> Vec<String> {
    let call = Regex::new(r"\b(?:tracing::(?:trace|debug|info|warn|error)(_span)?|run(_span))!\(").unwrap();
    let key = Regex::new(r"^(?:([a-z][a-z_.]*) = .*|[%?]?([a-z][a-z_]*))$").unwrap();
    let mut keys = Vec::new();
    for found in call.captures_iter(source) {
        let arguments = arguments(&source[found.get(0).unwrap().end()..]);
        // A span begins with its name, and with the run if it is one's; an event ends with its message.
        let fields: Vec<_> = match (found.get(1), found.get(2)) {
            (Some(_), _) => arguments.into_iter().skip(1).collect(),
            (_, Some(_)) => arguments.into_iter().skip(2).collect(),
            _ => arguments.into_iter().take_while(|argument| !argument.starts_with('"')).collect(),
        };
        let named = fields.iter().filter_map(|field| key.captures(field));
        keys.extend(named.map(|named| named.get(1).or(named.get(2)).unwrap().as_str().to_owned()));
    }
    keys
}

/// The arguments of a call, up to its closing parenthesis, each on one line.
fn arguments(source: &str) -> Vec<String> {
    let (mut arguments, mut depth, mut quoted, mut escaped) = (vec![String::new()], 0, false, false);
    for character in source.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' if !quoted && depth == 0 => break,
            ')' | ']' | '}' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                arguments.push(String::new());
                continue;
            }
            _ => {}
        }
        arguments.last_mut().unwrap().push(if character.is_whitespace() { ' ' } else { character });
    }
    arguments.iter().map(|argument| argument.trim().to_owned()).collect()
}

#[test]
fn keys_are_found_in_every_form() {
    let source = r#"
        tracing::warn!(run.id = %run, %error, tasks = f(1, "a, b"), "lost {tasks}, (of {})", more);
        let span = tracing::debug_span!("request", host = host.as_str(), attempt, status = Empty);
        run_span!("dispatch", run, tasks)
    "#;
    assert_eq!(keys(source), ["run.id", "error", "tasks", "host", "attempt", "status", "tasks"]);
}

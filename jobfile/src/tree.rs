//! YAML text as a tree in which every value knows its line; the only module that knows the YAML parser.
//!
//! It reads the parser's events rather than deserialising, because the file's rules need what deserialisers hide:
//! whether a text was quoted, both lines of a duplicate key, and the tag or alias that `!edge` and `*-perl` are to
//! YAML where the quotes were forgotten.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use granit_parser::{Event, Options, Parser, ScalarStyle, ScanError, Span, StrInput};

use crate::fault::{Fault, Place, Position, RuleId};

/// Values in a file, aliases written out: thousands of repositories are far below, a "billion laughs" is above.
const VALUES_MAX: usize = 200_000;

/// How deep values may be nested; the format itself needs six levels.
const DEPTH_MAX: usize = 32;

/// A value, and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) position: Position,
    pub(crate) value: Value,
}

/// What stands there.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// Text, as every YAML tool understands it.
    Text(String),
    /// Unquoted text that YAML tools take for something else.
    Typed(Kind, String),
    List(Vec<Node>),
    /// Keys are of any kind here, and different.
    Map(Vec<(Node, Node)>),
}

/// What YAML takes an unquoted text for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Nothing,
    Boolean,
    Number,
    /// `!edge`: a removal of ours, a tag of a type to YAML.
    TypeTag,
    /// `*-perl`: a glob of ours, an alias without anchor to YAML.
    Alias,
}

impl Value {
    /// What it is, for a message.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Typed(Kind::Nothing, _) => "nothing",
            Self::Typed(Kind::Boolean, _) => "a boolean",
            Self::Typed(Kind::Number, _) => "a number",
            Self::Typed(Kind::TypeTag, _) => "the tag of a type",
            Self::Typed(Kind::Alias, _) => "an alias",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

impl Node {
    /// The value of a key, if this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let Value::Map(map) = &self.value else { return None };
        map.iter().find(|(name, _)| matches!(&name.value, Value::Text(text) if text == key)).map(|(_, value)| value)
    }
}

impl fmt::Display for Node {
    /// On one line, texts quoted where YAML needs it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Value::Text(text) if is_plain(text) => f.write_str(text),
            Value::Text(text) => write!(f, "{text:?}"),
            Value::Typed(_, text) => f.write_str(text),
            Value::List(list) => write!(f, "[{}]", list.iter().map(Node::to_string).collect::<Vec<_>>().join(", ")),
            Value::Map(map) => {
                let entries: Vec<String> = map.iter().map(|(key, value)| format!("{key}: {value}")).collect();
                write!(f, "{{ {} }}", entries.join(", "))
            }
        }
    }
}

/// Whether a text needs no quotes, wherever it stands.
fn is_plain(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric() || "/._$".contains(first))
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._@+:$-".contains(c))
        && !text.ends_with(':')
        && matches!(plain(text.to_owned()), Value::Text(_))
}

/// Reads the one document in `text`, the content of `file`; faults that leave a tree to go on with are added to `faults`.
pub(crate) fn read(text: &str, file: &Arc<Path>, faults: &mut Vec<Fault>) -> Result<Node, Fault> {
    let mut options = Options::default();
    options.emit_unresolved_aliases = true;
    options.flow_nesting_limit = DEPTH_MAX;
    options.block_nesting_limit = DEPTH_MAX;
    options.set_emit_comments(false);
    let parser = Parser::new_from_str_with_options(text, options);
    let mut reader = Reader { text, file, parser, faults, anchors: HashMap::new(), values: 0 };
    let mut document = None;
    while let Some((event, span)) = reader.next()? {
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => {}
            _ if document.is_some() => {
                return Err(reader.yaml(position(&span), "a second document begins", "write one document to a file"));
            }
            event => document = Some(reader.node(event, &span)?),
        }
    }
    document.ok_or_else(|| reader.yaml(Position::START, "the file is empty", "begin with `version: 1`"))
}

struct Reader<'a> {
    text: &'a str,
    file: &'a Arc<Path>,
    parser: Parser<'a, StrInput<'a>>,
    faults: &'a mut Vec<Fault>,
    /// What each anchor stands for, by the parser's number of it.
    anchors: HashMap<usize, Node>,
    /// Values so far, with those that aliases stand for.
    values: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Fault> {
        self.parser.next_event().transpose().map_err(|error| self.not_yaml(&error))
    }

    /// The value that begins with `event`. Recursion is bounded by the parser's limits of nesting.
    fn node(&mut self, event: Event<'a>, span: &Span) -> Result<Node, Fault> {
        let position = position(span);
        let anchor = event.anchor_id();
        self.count(1, position)?;
        let value = match event {
            Event::Scalar(text, ScalarStyle::Plain, ..) => plain(text.into_owned()),
            Event::Scalar(text, ..) => Value::Text(text.into_owned()),
            Event::SequenceStart(..) => self.list()?,
            Event::MappingStart(..) => self.map()?,
            Event::Alias(id) => return self.alias(id, position),
            Event::UnresolvedAlias(name) => Value::Typed(Kind::Alias, format!("*{name}")),
            _ => return Err(self.yaml(position, "no value stands here", "write a value")),
        };
        let mut node = Node { position, value };
        if let Some(tag) = span.tag_span() {
            let text = tag.slice(self.text).unwrap_or_default().to_owned();
            node = Node { position: at(tag.start), value: Value::Typed(Kind::TypeTag, text) };
        }
        if let Some(id) = anchor {
            self.anchors.insert(id, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self) -> Result<Value, Fault> {
        let mut list = Vec::new();
        while let Some((event, span)) = self.next()? {
            if event == Event::SequenceEnd {
                break;
            }
            list.push(self.node(event, &span)?);
        }
        Ok(Value::List(list))
    }

    fn map(&mut self) -> Result<Value, Fault> {
        let mut map: Vec<(Node, Node)> = Vec::new();
        let mut lines: HashMap<String, usize> = HashMap::new();
        while let Some((event, span)) = self.next()? {
            if event == Event::MappingEnd {
                break;
            }
            let key = self.node(event, &span)?;
            let Some((event, span)) = self.next()? else { break };
            let value = self.node(event, &span)?;
            let (Value::Text(text) | Value::Typed(_, text)) = &key.value else {
                map.push((key, value));
                continue;
            };
            if let Some(line) = lines.get(text) {
                self.faults.push(Fault {
                    place: Place { file: self.file.clone(), position: key.position },
                    rule: RuleId::DuplicateKey,
                    message: format!("`{text}` is already given in line {line}"),
                    mend: "make one of both".to_owned(),
                });
                continue;
            }
            lines.insert(text.clone(), key.position.line);
            map.push((key, value));
        }
        Ok(Value::Map(map))
    }

    /// A copy of what the alias stands for. Its parts keep the lines where they are written.
    fn alias(&mut self, id: usize, position: Position) -> Result<Node, Fault> {
        let Some(node) = self.anchors.get(&id).cloned() else {
            return Err(self.yaml(position, "the alias stands within its own anchor", "write the value out"));
        };
        let (values, depth) = measure(&node);
        if depth > DEPTH_MAX {
            return Err(self.yaml(position, "aliases nest too deeply", "write the values out"));
        }
        self.count(values, position)?;
        Ok(node)
    }

    fn count(&mut self, values: usize, position: Position) -> Result<(), Fault> {
        self.values += values;
        if self.values <= VALUES_MAX {
            return Ok(());
        }
        Err(Fault {
            place: Place { file: self.file.clone(), position },
            rule: RuleId::Size,
            message: format!("the file has more than {VALUES_MAX} values, with those that its aliases stand for"),
            mend: "write several files".to_owned(),
        })
    }

    fn not_yaml(&self, error: &ScanError) -> Fault {
        let position = at(*error.marker());
        let line = self.text.lines().nth(position.line - 1).unwrap_or("");
        // Characters of ours that are YAML's own where the quotes were forgotten: `alpine: >=3.18`, `alpine: *`, `[host/{path}]`.
        let mend = match line.chars().nth(position.column - 1).filter(|c| ">|%@`{}*&".contains(*c)) {
            Some(own) => format!("quote the text with `{own}`"),
            None => "look for a missing quote, bracket or indentation here or just above".to_owned(),
        };
        self.yaml(position, &format!("this cannot be read as YAML: {}", error.info()), &mend)
    }

    fn yaml(&self, position: Position, message: &str, mend: &str) -> Fault {
        let place = Place { file: self.file.clone(), position };
        Fault { place, rule: RuleId::Yaml, message: message.to_owned(), mend: mend.to_owned() }
    }
}

fn position(span: &Span) -> Position {
    at(span.start)
}

fn at(marker: granit_parser::Marker) -> Position {
    Position { line: marker.line().max(1), column: marker.col() + 1 }
}

/// How many values `node` has, and how deep they are nested.
fn measure(node: &Node) -> (usize, usize) {
    let parts: Vec<&Node> = match &node.value {
        Value::List(list) => list.iter().collect(),
        Value::Map(map) => map.iter().flat_map(|(key, value)| [key, value]).collect(),
        _ => return (1, 1),
    };
    let (values, depth) = parts.into_iter().map(measure).fold((0, 0), |(a, b), (c, d)| (a + c, b.max(d)));
    (values + 1, depth + 1)
}

/// What YAML makes of an unquoted text: by the core schema of YAML 1.2 and by the words of YAML 1.1, because a person
/// who uses other tools may have either in mind.
fn plain(text: String) -> Value {
    let kind = match text.to_ascii_lowercase().as_str() {
        "" | "~" | "null" => Kind::Nothing,
        "true" | "false" | "yes" | "no" | "on" | "off" => Kind::Boolean,
        lower if is_number(lower) => Kind::Number,
        _ => return Value::Text(text),
    };
    Value::Typed(kind, text)
}

fn is_number(lower: &str) -> bool {
    let body = lower.trim_start_matches(['+', '-']);
    let digits = body.replace('_', "");
    match body.bytes().next() {
        Some(b'0'..=b'9') => {
            let radix = |prefix: &str, radix| {
                digits.strip_prefix(prefix).is_some_and(|digits| digits.chars().all(|c| c.is_digit(radix)))
            };
            digits.parse::<f64>().is_ok() || radix("0x", 16) || radix("0o", 8) || radix("0b", 2)
        }
        Some(b'.') => digits.parse::<f64>().is_ok() || matches!(body, ".inf" | ".nan"),
        _ => false,
    }
}

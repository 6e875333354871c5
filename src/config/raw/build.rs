//! From text to the tree of nodes.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use super::super::diagnostic::{Code, Draft};
use super::super::source::{Source, Span};
use super::super::text::{quoted, quoted_key};
use super::{Entry, Node, Scalar, Value};

/// Levels a tree may have. The deepest sensible configuration has eight; walking is recursive, so this guards the stack.
const MAX_DEPTH: usize = 64;

/// Nodes that aliases may add. 5,000 targets of 40 aliased values each are fine; an alias bomb is not.
const MAX_ALIASED: usize = 200_000;

/// Reads the one document of a file. Mistakes that leave the rest of the tree readable are added to `mistakes`.
///
/// # Errors
/// The first mistake after which nothing more can be read.
pub(in super::super) fn parse(source: &Source, mistakes: &mut Vec<Draft>) -> Result<Node, Draft> {
    let offsets = Offsets::new(source);
    let mut builder = Builder { stack: vec![], anchors: HashMap::new(), aliased: 0, root: None, mistakes };
    let mut parser = Parser::new_from_str(&source.text);
    while let Some(event) = parser.next_event() {
        let (event, at) = event.map_err(|error| syntax(&error, source, &offsets))?;
        let span = source.span(offsets.byte(at.start.index()), offsets.byte(at.end.index()));
        if matches!(event, Event::DocumentStart(_)) && builder.root.is_some() {
            return Err(Draft::new(Code::Syntax, span, "a second YAML document starts here")
                .help("one file is one configuration: remove the `---`, or move what follows into a file of its own"));
        }
        builder.event(event, span)?;
    }
    let empty = |root: &Node| matches!(&*root.value, Value::Scalar(scalar) if scalar.is_null());
    builder.root.filter(|root| !empty(root)).ok_or_else(|| {
        Draft::of_file(Code::MissingKey, "the configuration is empty")
            .help("the least there can be: `targets: [{name: prod, url: \"wss://example.com/ws/\"}]`")
    })
}

/// From the parser's character indices to byte offsets.
struct Offsets(Option<Vec<usize>>, usize);

impl Offsets {
    fn new(source: &Source) -> Self {
        let table = (!source.is_ascii()).then(|| source.text.char_indices().map(|(at, _)| at).collect());
        Offsets(table, source.text.len())
    }

    fn byte(&self, index: usize) -> usize {
        match &self.0 {
            None => index.min(self.1),
            Some(table) => table.get(index).copied().unwrap_or(self.1),
        }
    }
}

/// What the parser says, with the remedy for what people usually did.
fn syntax(error: &ScanError, source: &Source, offsets: &Offsets) -> Draft {
    let info = error.info();
    let at = offsets.byte(error.marker().index());
    // An error at the end of the file is about the last line that has something in it.
    let at = if source.slice(source.span(at, source.text.len())).trim().is_empty() { source.text.trim_end().len() } else { at };
    let expansion = source.slice(source.span(0, at)).ends_with('$') && source.slice(source.span(at, at + 1)) == "{";
    let help = match info {
        _ if expansion => "inside `[ ]` or `{ }` a variable needs quotes: `\"${NAME}\"`",
        _ if info.contains("unprintable") => "remove the control character",
        _ if info.split_whitespace().any(|word| word == "tab" || word == "tabs") => {
            "indent with spaces: YAML does not allow tabs there"
        }
        _ if info.starts_with("mapping values are not allowed") => {
            "text with a colon followed by a space needs quotes, and the keys of one mapping start in the same column"
        }
        _ if info.contains("unexpected character") => "text that starts with this character needs quotes",
        _ if info.contains("unknown anchor") => "text that starts with `*` needs quotes; an alias needs its `&name` further up",
        _ if info.contains("unknown escape") => "in double quotes a backslash starts an escape: use single quotes, or `\\\\`",
        _ if info.contains("quoted scalar") => "the quote that opens here is never closed",
        _ if info.contains("simple key expect") => "the line above is neither `key: value` nor `- item`",
        _ if info.contains("block sequence entries are not allowed") => "a list starts on a line of its own",
        _ if info.contains("flow sequence") => "is a comma missing, or the `]` that closes the list?",
        _ if info.contains("flow mapping") => "is a comma missing, or the `}` that closes the mapping?",
        _ if info.contains("block mapping") => "the keys of one mapping start in the same column",
        _ if info.contains("flow construct") => "a `[` or `{` further up is not closed",
        _ => "",
    };
    let info: String = info.chars().flat_map(char::escape_debug).collect::<String>().replace("\\'", "'");
    let draft = Draft::new(Code::Syntax, source.span(at, at), format!("not valid YAML: {info}"));
    if help.is_empty() { draft } else { draft.help(help) }
}

struct Builder<'a> {
    stack: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    aliased: usize,
    root: Option<Node>,
    mistakes: &'a mut Vec<Draft>,
}

/// A list or mapping that has begun.
struct Frame {
    span: Span,
    anchor: usize,
    kind: Kind,
}

enum Kind {
    List(Vec<Node>),
    Map(OpenMap),
}

#[derive(Default)]
struct OpenMap {
    entries: Vec<Entry>,
    index: HashMap<String, usize>,
    merges: Vec<Node>,
    key: Key,
}

/// What came before the colon.
#[derive(Default)]
enum Key {
    #[default]
    None,
    Text(String, Span),
    /// `<<`: the value's entries belong to this mapping.
    Merge,
    /// A mistake that is already reported.
    Bad,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Draft> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && !self.tag(tag.as_deref(), span);
                let value = Value::Scalar(Scalar { text: text.into_owned(), plain });
                self.done(Node { span, value: Rc::new(value), nodes: 1, height: 1 }, anchor);
            }
            Event::SequenceStart(anchor, tag) => self.open(Kind::List(vec![]), span, anchor, tag.as_deref())?,
            Event::MappingStart(anchor, tag) => self.open(Kind::Map(OpenMap::default()), span, anchor, tag.as_deref())?,
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(frame) = self.stack.pop() {
                    let anchor = frame.anchor;
                    let node = self.close(frame, span);
                    self.done(node, anchor);
                }
            }
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned().ok_or_else(|| {
                    Draft::new(Code::Syntax, span, "this alias contains itself").help("write out what is meant here")
                })?;
                self.aliased = self.aliased.saturating_add(node.nodes);
                if self.aliased > MAX_ALIASED {
                    return Err(Draft::new(Code::Syntax, span, format!("aliases expand to more than {MAX_ALIASED} values"))
                        .help("aliases of aliases multiply: write out what is meant"));
                }
                if self.stack.len() + node.height > MAX_DEPTH {
                    return Err(too_deep(span));
                }
                self.done(node, 0);
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, kind: Kind, span: Span, anchor: usize, tag: Option<&Tag>) -> Result<(), Draft> {
        self.tag(tag, span);
        if self.stack.len() >= MAX_DEPTH {
            return Err(too_deep(span));
        }
        self.stack.push(Frame { span, anchor, kind });
        Ok(())
    }

    /// Reports a tag that has no meaning here. True for the tag that makes a scalar text.
    fn tag(&mut self, tag: Option<&Tag>, span: Span) -> bool {
        let Some(tag) = tag else { return false };
        match tag.suffix.as_str() {
            "str" if tag.is_yaml_core_schema() => true,
            "int" | "float" | "bool" | "null" | "map" | "seq" if tag.is_yaml_core_schema() => false,
            "" if tag.handle == "!" => true,
            _ => {
                let message = format!("the YAML tag {} has no meaning here", quoted(&tag.to_string()));
                self.mistakes
                    .push(Draft::new(Code::Syntax, span, message).help("remove it; text that starts with `!` needs quotes"));
                false
            }
        }
    }

    /// A node is complete: remembers it under its anchor, and puts it where it belongs.
    fn done(&mut self, node: Node, anchor: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut().map(|frame| &mut frame.kind) {
            None => self.root = Some(node),
            Some(Kind::List(items)) => items.push(node),
            Some(Kind::Map(map)) => match std::mem::take(&mut map.key) {
                Key::None => map.key = key(node, self.mistakes),
                Key::Text(key, key_span) => map.put(key, key_span, node, self.mistakes),
                Key::Merge => map.merges.push(node),
                Key::Bad => {}
            },
        }
    }

    fn close(&mut self, frame: Frame, end: Span) -> Node {
        let block = frame.span.start == frame.span.end;
        let (value, children, first) = match frame.kind {
            Kind::List(items) => {
                let first = items.first().map(|item| item.span);
                let children = items.iter().fold((1, 0), tally);
                (Value::List(items), children, first)
            }
            Kind::Map(map) => {
                let entries = map.merged(self.mistakes);
                let first = entries.first().map(|entry| entry.key_span).filter(|key| key.start >= frame.span.start);
                let children = entries.iter().map(|entry| &entry.value).fold((1, 0), tally);
                (Value::Map(entries), children, first)
            }
        };
        let span = if block { first.unwrap_or(frame.span) } else { Span::new(frame.span.start, end.end) };
        Node { span, value: Rc::new(value), nodes: children.0, height: children.1 + 1 }
    }
}

fn tally((nodes, height): (usize, usize), child: &Node) -> (usize, usize) {
    (nodes.saturating_add(child.nodes), height.max(child.height))
}

fn too_deep(span: Span) -> Draft {
    Draft::new(Code::Syntax, span, format!("more than {MAX_DEPTH} levels of nesting")).help("no configuration needs that many")
}

/// Reads what stands before a colon.
fn key(node: Node, mistakes: &mut Vec<Draft>) -> Key {
    match &*node.value {
        Value::Scalar(scalar) if scalar.plain && scalar.text == "<<" => Key::Merge,
        Value::Scalar(scalar) if !scalar.is_null() => Key::Text(scalar.text.clone(), node.span),
        Value::Scalar(_) => {
            mistakes
                .push(Draft::new(Code::Syntax, node.span, "a key is missing before the colon").help("write it as `key: value`"));
            Key::Bad
        }
        _ => {
            let message = format!("a key has to be a single word, not {}", node.value.describe());
            let help = "text that starts with `{` or `[` needs quotes, as in `\"{{ name }}\"`";
            mistakes.push(Draft::new(Code::Syntax, node.span, message).help(help));
            Key::Bad
        }
    }
}

impl OpenMap {
    fn put(&mut self, key: String, key_span: Span, value: Node, mistakes: &mut Vec<Draft>) {
        if let Some(first) = self.index.get(&key).and_then(|at| self.entries.get(*at)) {
            mistakes.push(
                Draft::new(Code::DuplicateKey, key_span, format!("duplicate key {}", quoted_key(&key)))
                    .see(first.key_span, "first written here")
                    .help("keep one of them"),
            );
            return;
        }
        self.index.insert(key.clone(), self.entries.len());
        self.entries.push(Entry { key, key_span, value });
    }

    /// The entries, with those of merge keys (`<<`) after them; what the mapping says itself wins.
    fn merged(mut self, mistakes: &mut Vec<Draft>) -> Vec<Entry> {
        for merge in std::mem::take(&mut self.merges) {
            let sources = match &*merge.value {
                Value::List(items) => items.clone(),
                _ => vec![merge.clone()],
            };
            for node in sources {
                let Value::Map(entries) = &*node.value else {
                    let message = format!("`<<` merges a mapping, not {}", node.value.describe());
                    mistakes.push(
                        Draft::new(Code::WrongType, node.span, message)
                            .help("write it as `<<: *name`, with `&name` on a mapping"),
                    );
                    continue;
                };
                for entry in entries {
                    if !self.index.contains_key(&entry.key) {
                        self.index.insert(entry.key.clone(), self.entries.len());
                        self.entries.push(entry.clone());
                    }
                }
            }
        }
        self.entries
    }
}

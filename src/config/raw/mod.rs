//! The configuration as written: a tree of YAML nodes that know their places. The only module that knows YAML.
//!
//! Reading goes through saphyr-parser's events and not through serde, since serde stops at the first mistake, lets the
//! last of two equal keys win, and forgets where a value stood. Writing (`print`) goes through serde_yaml.
//!
//! Nothing in here knows what a key means. Aliases are shared, not copied, and every tree has bounds on depth and on the
//! number of nodes one would meet when walking it, so that whoever walks a tree needs no guards of its own.

mod build;
mod print;

use std::rc::Rc;

pub(super) use build::parse;
pub(super) use print::print;

use super::source::Span;

/// One value and its place. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where to point for this value; for a block mapping or list that is its first key or item.
    pub span: Span,
    pub value: Rc<Value>,
    /// Nodes in this tree, with aliases followed.
    nodes: usize,
    /// Levels in this tree.
    height: usize,
}

#[derive(Debug)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug)]
pub(super) struct Scalar {
    pub text: String,
    /// Without quotes: `10`, `true` and nothing at all then have types of their own.
    pub plain: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub key: String,
    pub key_span: Span,
    pub value: Node,
}

impl Scalar {
    /// Whether this is YAML's way to write nothing.
    pub fn is_null(&self) -> bool {
        self.plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}

impl Value {
    /// What it is, for `expected …, found …`.
    pub fn describe(&self) -> &'static str {
        match self {
            Value::Scalar(scalar) if scalar.is_null() => "nothing",
            Value::Scalar(scalar) if !scalar.plain => "text in quotes",
            Value::Scalar(_) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

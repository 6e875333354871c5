//! A module of settings, followed statement by statement without being run.
//!
//! Branches are all followed and kept apart by their conditions. Names that a branch does not touch cost nothing: each
//! branch writes into a frame of its own, and only what is in the frames is joined. Every step costs fuel, so that no file
//! takes long.

mod call;
mod expression;
mod function;
mod imports;
mod statement;

use std::collections::HashMap;
use std::rc::Rc;

use tree_sitter::Node;

use super::modules::Modules;
use super::python::{self, Python};
use super::value::{Class, Condition, Kind, Place, Value};

/// Steps for one module: far more than any real one takes, and done in a fraction of a second.
const FUEL: u64 = 400_000;
/// Expressions and blocks nest at most this deep.
const DEEPEST: usize = 100;
/// Parts of one condition that are told apart.
const MOST_CONDITIONS: usize = 8;

/// What a module, or a class of django-configurations, assigns.
#[derive(Default)]
pub struct Module {
    pub names: HashMap<Rc<str>, Value>,
    pub assignments: Vec<Assignment>,
    /// Assignments that a later star import or `include` replaces: the name, where, and by what.
    pub replaced: Vec<Replaced>,
    pub classes: Vec<Configured>,
    /// Modules that are imported whole, by file.
    pub imports: Vec<usize>,
    /// The top packages of what is imported.
    pub packages: Vec<Rc<str>>,
    /// It may assign names that can't be seen: `exec`, `globals()`, a star import from elsewhere. Where.
    pub opaque: Option<Place>,
    /// It was not followed to its end.
    pub unfinished: bool,
}

/// A class of django-configurations.
pub struct Configured {
    pub class: Rc<Class>,
    pub assignments: Vec<Assignment>,
}

/// A name that is bound in a module or class.
pub struct Assignment {
    pub name: Rc<str>,
    pub target: Place,
    pub value: Value,
    /// Inside an `if`, a `try` and the like.
    pub conditional: bool,
    /// Its value is made of what the name was before.
    pub reads_itself: bool,
}

pub struct Replaced {
    pub name: Rc<str>,
    pub target: Place,
    pub by: Place,
}

impl Module {
    /// A module of which nothing is known.
    pub fn opaque() -> Self {
        Module { unfinished: true, ..Module::default() }
    }
}

/// Follows a module.
pub fn module(modules: &mut Modules<'_>, file: usize) -> Module {
    let python = modules.file(file).python.clone();
    let mut follow = Follow {
        modules,
        file,
        python: python.clone(),
        frames: vec![HashMap::new()],
        module: Module::default(),
        fuel: FUEL,
        depth: 0,
        conditional: 0,
        functions: 0,
        returns: vec![],
    };
    if let Some(tree) = &python.tree {
        follow.block(tree.root_node());
    }
    follow.module.unfinished = follow.fuel == 0;
    let mut module = follow.module;
    module.names = follow.frames.swap_remove(0);
    module
}

type Frame = HashMap<Rc<str>, Value>;

struct Follow<'a, 'f> {
    modules: &'a mut Modules<'f>,
    file: usize,
    python: Rc<Python>,
    /// The module's names, then those that each open branch changes.
    frames: Vec<Frame>,
    module: Module,
    fuel: u64,
    depth: usize,
    /// Open branches.
    conditional: usize,
    /// Open functions: what is bound there is no name of the module.
    functions: usize,
    /// What the innermost of them returns.
    returns: Vec<Value>,
}

impl Follow<'_, '_> {
    /// Takes fuel; false once there is none.
    fn spend(&mut self, steps: usize) -> bool {
        self.fuel = self.fuel.saturating_sub(steps as u64 + 1);
        self.fuel > 0
    }

    fn place(&self, node: Node<'_>) -> Place {
        Place { file: self.file, span: python::span(node) }
    }

    fn text(&self, node: Node<'_>) -> &str {
        self.python.source.slice(python::span(node))
    }

    /// The text on one line, as messages quote it.
    fn line(&self, node: Node<'_>) -> String {
        self.text(node).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.frames.iter().rev().find_map(|frame| frame.get(name))
    }

    fn set(&mut self, name: &str, value: Value) {
        if let Some(frame) = self.frames.last_mut() {
            frame.insert(name.into(), value);
        }
    }

    /// Binds a name by a statement of the module or class.
    fn assign(&mut self, target: Node<'_>, name: &str, value: Value, reads_itself: bool) {
        if self.functions == 0 {
            let (target, conditional) = (self.place(target), self.conditional > 0);
            let name = name.into();
            self.module.assignments.push(Assignment { name, target, value: value.clone(), conditional, reads_itself });
        }
        self.set(name, value);
    }

    /// What a branch changes; `None` when it does not reach its end.
    fn branch(&mut self, follow: impl FnOnce(&mut Self) -> bool) -> Option<Frame> {
        self.frames.push(Frame::new());
        self.conditional += 1;
        let goes_on = follow(self);
        self.conditional -= 1;
        self.frames.pop().filter(|_| goes_on)
    }

    /// After branches: each name that one of them changed may be what any of them left it at. False if none goes on.
    fn join(&mut self, branches: Vec<(Vec<Condition>, Option<Frame>)>, at: Place) -> bool {
        let live: Vec<(Vec<Condition>, Frame)> = branches.into_iter().filter_map(|(when, frame)| Some((when, frame?))).collect();
        let mut names: Vec<Rc<str>> = live.iter().flat_map(|(_, frame)| frame.keys().cloned()).collect();
        names.sort();
        names.dedup();
        for name in names {
            if !self.spend(live.len()) {
                return true;
            }
            let before = self.get(&name).cloned().unwrap_or_else(|| Value::new(Kind::Unset, at));
            let values = live.iter().map(|(when, frame)| (when.clone(), frame.get(&name).unwrap_or(&before).clone()));
            let joined = Value::one_of(values.collect(), at);
            self.set(&name, joined);
        }
        !live.is_empty()
    }

    /// The conditions that an expression stands for when it holds, or does not: `not x` is `x` that does not hold, and `x and y`
    /// that holds is both.
    fn conditions(&self, node: Node<'_>, holds: bool) -> Vec<Condition> {
        let mut found = vec![];
        let mut open = vec![(node, holds)];
        while let Some((node, holds)) = open.pop() {
            let joins = if holds { "and" } else { "or" };
            match node.kind() {
                "not_operator" | "parenthesized_expression" if node.named_child(0).is_some_and(|inner| !inner.is_extra()) => {
                    let holds = if node.kind() == "not_operator" { !holds } else { holds };
                    open.extend(node.named_child(0).map(|inner| (inner, holds)));
                }
                "boolean_operator" if node.child_by_field_name("operator").is_some_and(|op| op.kind() == joins) => {
                    let side = |name| node.child_by_field_name(name).map(|side| (side, holds));
                    open.extend(side("right").into_iter().chain(side("left")));
                }
                _ if found.len() >= MOST_CONDITIONS => break, // fewer of them are true as well
                _ => {
                    let line = self.line(node);
                    let text = asked(&line).map_or_else(|| line.as_str().into(), |name| format!("{name} is set").into());
                    found.push(Condition { text, holds });
                }
            }
        }
        found
    }

    /// A condition that is the same wherever the module runs.
    fn constant(&self, node: Node<'_>) -> Option<bool> {
        match self.text(node) {
            "True" | "1" => Some(true),
            "False" | "0" | "TYPE_CHECKING" | "typing.TYPE_CHECKING" => Some(false),
            // in a function that is followed, what it was given may decide
            name if self.functions > 0 && node.kind() == "identifier" => self.get(name).and_then(Value::truth),
            text => (text.starts_with("__name__") && text.contains("__main__")).then_some(false),
        }
    }
}

/// The environment variable that a condition asks for: `"X" in os.environ`, `os.environ.get("X")`, `os.getenv("X")`.
fn asked(condition: &str) -> Option<&str> {
    let name = match condition.strip_suffix(')') {
        Some(call) => ["os.environ.get(", "environ.get(", "os.getenv(", "getenv("].iter().find_map(|c| call.strip_prefix(c))?,
        None => condition.strip_suffix(" in os.environ").or_else(|| condition.strip_suffix(" in environ"))?,
    };
    let quote = name.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let inner = name.strip_prefix(quote)?.strip_suffix(quote)?;
    inner.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_').then_some(inner)
}

//! What an expression of a settings module may be worth, as far as its text tells.
//!
//! Values are bounded in size and depth, whatever the file says: what would grow further is [`Kind::Unknown`].

use std::rc::Rc;

use crate::source::Span;

/// Strings and collections beyond this are not followed.
pub const LONGEST: usize = 4096;
/// Collections nest at most this deep.
pub const DEEPEST: u8 = 24;
/// More possible values than this for one name are not told apart.
pub const MOST_ALTERNATIVES: usize = 24;

/// What stands in a text for a part of it that is not known.
pub const UNKNOWN_PART: char = '\u{fffc}';

/// Where something is written: a file of the run, and the bytes in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub file: usize,
    pub span: Span,
}

impl Place {
    pub fn holds(self, other: Place) -> bool {
        self.file == other.file && self.span.start <= other.span.start && other.span.end <= self.span.end
    }
}

/// A condition as written, and whether it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub text: Rc<str>,
    pub holds: bool,
}

/// A value and where it comes from.
#[derive(Clone, Debug)]
pub struct Value {
    pub kind: Kind,
    /// The expression that makes it.
    pub at: Place,
    /// The expression that was assigned, if it came through a name; else as `at`.
    pub assigned: Place,
    depth: u8,
}

#[derive(Clone, Debug)]
pub enum Kind {
    /// Not assigned (on this path).
    Unset,
    None,
    Bool(bool),
    Int(i64),
    Str(Text),
    /// A text of which parts are not known: [`UNKNOWN_PART`] stands for each.
    Partial(Rc<str>),
    /// Bytes, floats: of no use for any of these settings.
    Bytes,
    Float,
    Tuple(Rc<[Value]>, Brackets),
    List(Rc<[Value]>),
    Set(Rc<[Value]>),
    Dict(Rc<[(Value, Value)]>),
    Generator,
    /// Any number of items inside a collection, of which nothing more is known; from the environment or not.
    Rest(Option<Listed>),
    /// Read from an environment variable (or a file that stands for it).
    Env(Env),
    /// One of these, each under all its conditions. Never nested, never one alone.
    OneOf(Rc<[Alternative]>),
    /// Something imported or built in, by its dotted name.
    Name(Rc<str>),
    /// An object that reads the environment, or one of its methods.
    Reader(Reader),
    Class(Rc<Class>),
    /// A function or lambda, at the place of the value.
    Function,
    /// A function of one argument that is applied to texts: decouple's `Csv`.
    Csv(Csv),
    Unknown,
}

/// A string constant.
#[derive(Clone, Debug)]
pub struct Text {
    pub text: Rc<str>,
    /// How many literals side by side it is written as; 1 unless implicitly concatenated.
    pub pieces: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brackets {
    Written,
    /// `a, b`: a comma alone made it a tuple.
    Bare,
}

/// What becomes of the text of an environment variable.
#[derive(Clone, Debug)]
pub struct Env {
    pub variable: Option<Rc<str>>,
    pub shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Text,
    /// `tuple(text)`: one item per character.
    Characters,
    List(Listed),
    Tuple(Listed),
    Bool,
    Number,
    /// `bool(text)`: true for any text but the empty one.
    TruthOfText,
}

/// How a text was split into items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// Blanks around items are gone.
    Stripped,
    /// `text.split(",")`.
    Split,
    /// django-environ's `list` and `tuple`, which keep blanks but drop empty items.
    Environ,
    /// Not split at all: `list += text` adds its characters.
    Letters,
}

#[derive(Clone, Debug)]
pub struct Alternative {
    pub when: Rc<[Condition]>,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub struct Reader {
    pub library: Library,
    /// `env.bool`: the method; `env(…)`: none.
    pub method: Option<Rc<str>>,
    /// django-environ's `Env(NAME=(type, default))`.
    pub schema: Rc<[(Rc<str>, Value)]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    DjangoEnviron,
    Environs,
    Decouple,
}

#[derive(Clone, Debug)]
pub struct Class {
    pub name: Rc<str>,
    /// Whether it is a class of django-configurations.
    pub configuration: bool,
    pub names: Vec<(Rc<str>, Value)>,
}

#[derive(Clone, Copy, Debug)]
pub struct Csv {
    pub tuple: bool,
}

impl Value {
    pub fn new(kind: Kind, at: Place) -> Self {
        let depth = match &kind {
            Kind::Tuple(items, _) | Kind::List(items) | Kind::Set(items) => items.iter().map(|v| v.depth).max().unwrap_or(0) + 1,
            Kind::Dict(pairs) => pairs.iter().map(|(k, v)| k.depth.max(v.depth)).max().unwrap_or(0) + 1,
            Kind::OneOf(all) => all.iter().map(|a| a.value.depth).max().unwrap_or(0),
            Kind::Reader(reader) => reader.schema.iter().map(|(_, v)| v.depth).max().unwrap_or(0) + 1,
            Kind::Class(class) => class.names.iter().map(|(_, v)| v.depth).max().unwrap_or(0) + 1,
            _ => 0,
        };
        if depth > DEEPEST {
            return Value { kind: Kind::Unknown, at, assigned: at, depth: 0 };
        }
        Value { kind, at, assigned: at, depth }
    }

    pub fn unknown(at: Place) -> Self {
        Value::new(Kind::Unknown, at)
    }

    pub fn str(text: impl Into<Rc<str>>, pieces: usize, at: Place) -> Self {
        let text = text.into();
        match text.len() <= LONGEST {
            true => Value::new(Kind::Str(Text { text, pieces }), at),
            false => Value::unknown(at),
        }
    }

    /// A text that may have [`UNKNOWN_PART`]s.
    pub fn text(text: String, at: Place) -> Self {
        match text.contains(UNKNOWN_PART) && text.len() <= LONGEST {
            true => Value::new(Kind::Partial(text.into()), at),
            false => Value::str(text, 1, at),
        }
    }

    pub fn items(kind: fn(Rc<[Value]>) -> Kind, items: Vec<Value>, at: Place) -> Self {
        match items.len() <= LONGEST {
            true => Value::new(kind(items.into()), at),
            false => Value::unknown(at),
        }
    }

    pub fn env(variable: Option<Rc<str>>, shape: Shape, at: Place) -> Self {
        Value::new(Kind::Env(Env { variable, shape }), at)
    }

    /// One of several values, told apart by conditions; contradictions are dropped.
    pub fn one_of(alternatives: Vec<(Vec<Condition>, Value)>, at: Place) -> Self {
        let mut flat: Vec<Alternative> = vec![];
        for (when, value) in alternatives {
            for inner in value.alternatives() {
                let when: Vec<Condition> = when.iter().chain(inner.when.iter()).cloned().collect();
                if compatible(&when, &[]) {
                    flat.push(Alternative { when: without_repeats(when).into(), value: inner.value });
                }
            }
            if flat.len() > MOST_ALTERNATIVES {
                return Value::unknown(at);
            }
        }
        match flat.len() {
            0 => Value::unknown(at),
            1 => flat.remove(0).value,
            _ => Value::new(Kind::OneOf(flat.into()), at),
        }
    }

    /// What it may be, each under its conditions.
    pub fn alternatives(&self) -> Vec<Alternative> {
        match &self.kind {
            Kind::OneOf(all) => all.to_vec(),
            _ => vec![Alternative { when: Rc::new([]), value: self.clone() }],
        }
    }

    /// The same done to whatever it may be.
    pub fn map(&self, mut f: impl FnMut(&Value) -> Value) -> Value {
        match &self.kind {
            Kind::OneOf(all) => Value::one_of(all.iter().map(|a| (a.when.to_vec(), f(&a.value))).collect(), self.at),
            _ => f(self),
        }
    }

    /// The same value, made by the expression here.
    pub fn moved(mut self, at: Place) -> Self {
        self.at = at;
        self
    }

    /// The same value, assigned by this expression.
    pub fn assigned_at(mut self, place: Place) -> Self {
        self.assigned = place;
        if let Kind::OneOf(all) = &mut self.kind {
            let moved = all.iter().map(|a| Alternative { when: a.when.clone(), value: a.value.clone().assigned_at(place) });
            *all = moved.collect();
        }
        self
    }

    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::Str(text) => Some(&text.text),
            _ => None,
        }
    }

    /// The items of a list or tuple constant.
    pub fn sequence(&self) -> Option<&[Value]> {
        match &self.kind {
            Kind::Tuple(items, _) | Kind::List(items) => Some(items),
            _ => None,
        }
    }

    /// Python's truth, where the text tells it.
    pub fn truth(&self) -> Option<bool> {
        match &self.kind {
            Kind::None | Kind::Unset => Some(false),
            Kind::Bool(b) => Some(*b),
            Kind::Int(n) => Some(*n != 0),
            Kind::Str(text) => Some(!text.text.is_empty()),
            Kind::Tuple(items, _) | Kind::List(items) | Kind::Set(items) => {
                match items.iter().all(|v| matches!(v.kind, Kind::Rest(_))) {
                    true if !items.is_empty() => None,
                    all_rest => Some(!all_rest),
                }
            }
            Kind::Dict(pairs) => Some(!pairs.is_empty()),
            Kind::Generator | Kind::Reader(_) | Kind::Class(_) | Kind::Csv(_) => Some(true),
            _ => None,
        }
    }

    /// Where to point at: the part of the assigned expression that makes the value, or that expression.
    pub fn shown(&self) -> Place {
        if self.assigned.holds(self.at) { self.at } else { self.assigned }
    }

    /// Where the value itself is written, if that is elsewhere.
    pub fn origin(&self) -> Option<Place> {
        (!self.assigned.holds(self.at) && !self.at.holds(self.assigned)).then_some(self.at)
    }
}

/// Whether all these conditions can hold at once.
pub fn compatible(some: &[Condition], others: &[Condition]) -> bool {
    let all = || some.iter().chain(others);
    all().all(|a| !all().any(|b| a.text == b.text && a.holds != b.holds))
}

fn without_repeats(conditions: Vec<Condition>) -> Vec<Condition> {
    let mut kept: Vec<Condition> = vec![];
    for condition in conditions {
        if !kept.contains(&condition) {
            kept.push(condition);
        }
    }
    kept
}

//! Expressions: constants folded, names looked up, the rest unknown.

use std::rc::Rc;

use tree_sitter::Node;

use super::call::{imported, reader};
use super::{DEEPEST, Follow, Frame};
use crate::lint::python::unescape;
use crate::lint::value::{Brackets, Condition, Env, Kind, Library, Listed, Place, Shape, UNKNOWN_PART, Value};

/// A name that nothing binds here is a builtin, or comes with a star import that can't be seen: then it is what nearly all
/// settings call so.
pub fn unbound(name: &str, at: Place) -> Value {
    let full = match name {
        "os" | "environ" | "environs" | "decouple" => name.to_owned(),
        "getenv" => "os.getenv".to_owned(),
        "config" | "Csv" => format!("decouple.{name}"),
        "env" => return reader(Library::DjangoEnviron, at),
        _ => format!("builtins.{name}"),
    };
    Value::new(Kind::Name(full.into()), at)
}

impl Follow<'_, '_> {
    /// What an expression is worth.
    pub fn expression(&mut self, node: Node<'_>) -> Value {
        let at = self.place(node);
        if self.depth >= DEEPEST || !self.spend(1) {
            return Value::unknown(at);
        }
        self.depth += 1;
        let kind = self.kind(node, at);
        self.depth -= 1;
        kind
    }

    fn kind(&mut self, node: Node<'_>, at: Place) -> Value {
        match node.kind() {
            "parenthesized_expression" => match node.named_child(0).filter(|inner| !inner.is_extra()) {
                Some(inner) => self.expression(inner).moved(at),
                None => self.last_child(node),
            },
            "string" => self.string(node, at).map_or(Value::unknown(at), |kind| Value::new(kind, at)),
            "concatenated_string" => self.concatenated(node, at),
            "integer" => {
                let digits = self.text(node).replace('_', "");
                Value::new(digits.parse().map_or(Kind::Unknown, Kind::Int), at)
            }
            "float" => Value::new(Kind::Float, at),
            "true" => Value::new(Kind::Bool(true), at),
            "false" => Value::new(Kind::Bool(false), at),
            "none" => Value::new(Kind::None, at),
            "tuple" => self.collection(node, |items| Kind::Tuple(items, Brackets::Written), at),
            "expression_list" => self.collection(node, Self::bare, at),
            "list" => self.collection(node, Kind::List, at),
            "set" => self.collection(node, Kind::Set, at),
            "dictionary" => self.dictionary(node, at),
            "identifier" => {
                let name = self.text(node);
                match self.get(name) {
                    Some(value) => value.clone(),
                    None => unbound(name, at),
                }
            }
            "attribute" => self.attribute(node, at),
            "subscript" => self.subscript(node, at),
            "call" => self.call(node, at),
            "binary_operator" => self.binary(node, at),
            "boolean_operator" => self.boolean(node, at),
            "not_operator" => {
                let inner = node.child_by_field_name("argument").map(|inner| self.expression(inner));
                let negated = |value: &Value| match value.truth() {
                    Some(truth) => Value::new(Kind::Bool(!truth), at),
                    None => Value::env(None, Shape::Bool, at),
                };
                inner.map_or(Value::unknown(at), |value| value.map(negated))
            }
            "comparison_operator" => Value::env(None, Shape::Bool, at),
            "conditional_expression" => self.ternary(node, at),
            "named_expression" => match (node.child_by_field_name("name"), node.child_by_field_name("value")) {
                (Some(name), Some(right)) => {
                    let value = self.expression(right);
                    self.bind(name, value.clone().assigned_at(self.place(right)), None);
                    value
                }
                _ => Value::unknown(at),
            },
            "lambda" => self.callable(node),
            "list_comprehension" => self.comprehension(node, Kind::List, at),
            "set_comprehension" => self.comprehension(node, Kind::Set, at),
            "generator_expression" => Value::new(Kind::Generator, at),
            _ => Value::unknown(at),
        }
    }

    fn last_child(&mut self, node: Node<'_>) -> Value {
        let at = self.place(node);
        let mut cursor = node.walk();
        let inner = node.named_children(&mut cursor).find(|child| !child.is_extra());
        inner.map_or(Value::unknown(at), |inner| self.expression(inner).moved(at))
    }

    /// One literal. `None`: what it holds is no text that can be followed.
    fn string(&mut self, node: Node<'_>, at: Place) -> Option<Kind> {
        let mut cursor = node.walk();
        let mut text = String::new();
        let mut prefix = String::new();
        let (mut from, mut to) = (0, 0);
        let mut pieces: Vec<Node<'_>> = vec![];
        for child in node.children(&mut cursor) {
            match child.kind() {
                "string_start" => {
                    prefix = self.text(child).trim_end_matches(['"', '\'']).to_ascii_lowercase();
                    from = child.end_byte();
                }
                "string_end" => to = child.start_byte(),
                "interpolation" => pieces.push(child),
                _ => {}
            }
        }
        if prefix.contains('b') {
            return Some(Kind::Bytes);
        }
        let (raw, formatted) = (prefix.contains('r'), prefix.contains('f'));
        let plain = |this: &Self, from: usize, to: usize| {
            let body = this.python.source.text.get(from..to).unwrap_or_default();
            let body = unescape(body, raw);
            if formatted { body.replace("{{", "{").replace("}}", "}") } else { body }
        };
        for piece in pieces {
            text += &plain(self, from, piece.start_byte());
            from = piece.end_byte();
            let expression = piece.child_by_field_name("expression")?;
            let simple = piece.named_child_count() == 1;
            let value = self.expression(expression);
            match (&value.kind, simple) {
                (Kind::Str(constant), true) => text += &constant.text,
                _ => text.push(UNKNOWN_PART),
            }
        }
        text += &plain(self, from, to.max(from));
        Some(Value::text(text, at).kind)
    }

    fn concatenated(&mut self, node: Node<'_>, at: Place) -> Value {
        let mut cursor = node.walk();
        let parts: Vec<Node<'_>> = node.named_children(&mut cursor).filter(|child| child.kind() == "string").collect();
        let mut text = String::new();
        for part in &parts {
            let place = self.place(*part);
            match self.string(*part, place) {
                Some(Kind::Str(piece)) => text += &piece.text,
                Some(Kind::Partial(piece)) => text += &piece,
                Some(Kind::Bytes) => return Value::new(Kind::Bytes, at),
                _ => return Value::unknown(at),
            }
        }
        match text.contains(UNKNOWN_PART) {
            true => Value::text(text, at),
            false => Value::str(text, parts.len(), at),
        }
    }

    fn collection(&mut self, node: Node<'_>, kind: fn(Rc<[Value]>) -> Kind, at: Place) -> Value {
        let mut items = vec![];
        let mut cursor = node.walk();
        let children: Vec<Node<'_>> = node.named_children(&mut cursor).filter(|child| !child.is_extra()).collect();
        for child in children {
            let before = items.len();
            match child.kind() {
                "list_splat" => match child.named_child(0).map(|inner| self.items_of(inner)) {
                    Some(inner) => items.extend(spread(&inner)),
                    None => return Value::unknown(at),
                },
                _ => items.push(self.expression(child)),
            }
            if !self.spend((items.len() - before) / 16) {
                return Value::unknown(at);
            }
        }
        Value::items(kind, items, at)
    }

    fn dictionary(&mut self, node: Node<'_>, at: Place) -> Value {
        let mut pairs = vec![];
        let mut cursor = node.walk();
        let children: Vec<Node<'_>> = node.named_children(&mut cursor).filter(|child| !child.is_extra()).collect();
        for child in children {
            let (Some(key), Some(value)) = (child.child_by_field_name("key"), child.child_by_field_name("value")) else {
                return Value::unknown(at); // `**more`
            };
            pairs.push((self.expression(key), self.expression(value)));
        }
        Value::new(Kind::Dict(pairs.into()), at)
    }

    fn attribute(&mut self, node: Node<'_>, at: Place) -> Value {
        let (Some(object), Some(name)) = (node.child_by_field_name("object"), node.child_by_field_name("attribute")) else {
            return Value::unknown(at);
        };
        let object = self.expression(object);
        let name = self.text(name);
        match &object.kind {
            Kind::Name(module) if module.len() < 200 => {
                let (module, name) = (module.clone(), name.to_owned());
                let found = self.of_module(&module, &name);
                found.unwrap_or_else(|| imported(&format!("{module}.{name}"), at))
            }
            Kind::Reader(reader) if reader.method.is_none() => {
                let mut reader = reader.clone();
                reader.method = Some(name.into());
                Value::new(Kind::Reader(reader), at)
            }
            Kind::Class(class) => {
                let found = class.names.iter().find(|(known, _)| &**known == name);
                found.map_or(Value::unknown(at), |(_, value)| value.clone())
            }
            _ => Value::unknown(at),
        }
    }

    fn subscript(&mut self, node: Node<'_>, at: Place) -> Value {
        let (Some(object), Some(key)) = (node.child_by_field_name("value"), node.child_by_field_name("subscript")) else {
            return Value::unknown(at);
        };
        if self.is_namespace(object) {
            return Value::unknown(at);
        }
        let (object, key) = (self.expression(object), self.expression(key));
        match (&object.kind, &key.kind) {
            (Kind::Name(name), _) if &**name == "os.environ" => Value::env(key.as_str().map(Rc::from), Shape::Text, at),
            (Kind::Dict(pairs), Kind::Str(key)) => {
                let found = pairs.iter().find(|(known, _)| known.as_str() == Some(&key.text));
                found.map_or(Value::unknown(at), |(_, value)| value.clone())
            }
            (Kind::Tuple(items, _) | Kind::List(items), Kind::Int(index))
                if items.iter().all(|v| !matches!(v.kind, Kind::Rest(_))) =>
            {
                let found = usize::try_from(*index).ok().and_then(|index| items.get(index));
                found.cloned().unwrap_or_else(|| Value::unknown(at))
            }
            _ => Value::unknown(at),
        }
    }

    fn binary(&mut self, node: Node<'_>, at: Place) -> Value {
        let (Some(left), Some(right)) = (node.child_by_field_name("left"), node.child_by_field_name("right")) else {
            return Value::unknown(at);
        };
        let (left, right) = (self.expression(left), self.expression(right));
        match node.child_by_field_name("operator").map(|op| op.kind()) {
            Some("+") => self.plus(&left, &right, at),
            Some("%") => filled(&left, "%s", right.sequence().unwrap_or(std::slice::from_ref(&right)), at),
            _ => Value::unknown(at),
        }
    }

    /// `left + right`, for whatever both may be.
    pub fn plus(&mut self, left: &Value, right: &Value, at: Place) -> Value {
        let mut both = vec![];
        for a in left.alternatives() {
            for b in right.alternatives() {
                if !self.spend(a.value.sequence().map_or(0, <[Value]>::len) / 16 + 1) {
                    return Value::unknown(at);
                }
                both.push((a.when.iter().chain(b.when.iter()).cloned().collect(), sum(&a.value, &b.value, at)));
            }
        }
        Value::one_of(both, at)
    }

    /// `left or right`, `left and right`
    fn boolean(&mut self, node: Node<'_>, at: Place) -> Value {
        let (Some(left_node), Some(right)) = (node.child_by_field_name("left"), node.child_by_field_name("right")) else {
            return Value::unknown(at);
        };
        let or = node.child_by_field_name("operator").is_some_and(|op| op.kind() == "or");
        let (left, right) = (self.expression(left_node), self.expression(right));
        let text: Rc<str> = self.line(left_node).into();
        left.map(|left| match left.truth() {
            Some(truth) if truth == or => left.clone(),
            Some(_) => right.clone(),
            None => {
                let when = |holds| vec![Condition { text: text.clone(), holds }];
                Value::one_of(vec![(when(or), left.clone()), (when(!or), right.clone())], at)
            }
        })
    }

    fn ternary(&mut self, node: Node<'_>, at: Place) -> Value {
        let mut cursor = node.walk();
        let parts: Vec<Node<'_>> = node.named_children(&mut cursor).filter(|child| !child.is_extra()).collect();
        let [yes, condition, no] = parts[..] else { return Value::unknown(at) };
        if let Some(constant) = self.constant(condition) {
            return self.expression(if constant { yes } else { no });
        }
        self.expression(condition);
        let (met, unmet) = (self.conditions(condition, true), self.conditions(condition, false));
        let (yes, no) = (self.expression(yes), self.expression(no));
        Value::one_of(vec![(met, yes), (unmet, no)], at)
    }

    /// `[x.strip() for x in items if x]`: the items, with what is done to each. A `tuple(…)` around one comes here too.
    pub fn comprehension(&mut self, node: Node<'_>, kind: fn(Rc<[Value]>) -> Kind, at: Place) -> Value {
        let mut cursor = node.walk();
        let clauses: Vec<Node<'_>> = node.named_children(&mut cursor).filter(|c| c.kind() == "for_in_clause").collect();
        let ([clause], Some(body)) = (&clauses[..], node.child_by_field_name("body")) else { return Value::unknown(at) };
        let (Some(variable), Some(items)) = (clause.child_by_field_name("left"), clause.child_by_field_name("right")) else {
            return Value::unknown(at);
        };
        let items = self.items_of(items);
        let variable = self.text(variable).to_owned();
        let filtered = node.named_children(&mut node.walk()).any(|c| c.kind() == "if_clause");
        items.map(|items| {
            let each = |this: &mut Self, item: Value| {
                this.frames.push(Frame::from([(variable.as_str().into(), item)]));
                this.functions += 1;
                let value = this.expression(body);
                this.functions -= 1;
                this.frames.pop();
                value
            };
            match &items.kind {
                Kind::Tuple(all, _) | Kind::List(all) => {
                    let mut made = vec![];
                    for item in all.iter() {
                        if !self.spend(4) {
                            return Value::unknown(at);
                        }
                        let rest = matches!(item.kind, Kind::Rest(_));
                        made.push(if rest { item.clone() } else { each(self, item.clone()) });
                    }
                    made.retain(|item| !filtered || item.truth() != Some(false)); // as good as every such filter: `if x`
                    Value::items(kind, made, at)
                }
                Kind::Env(Env { variable, shape: Shape::List(how) | Shape::Tuple(how) }) => {
                    let text = self.text(body);
                    let stripped = text.ends_with(".strip()") || text == "str.strip";
                    let how = if stripped { Listed::Stripped } else { *how };
                    match body.kind() {
                        "identifier" | "call" => Value::env(variable.clone(), Shape::List(how), at),
                        _ => Value::unknown(at),
                    }
                }
                _ => Value::unknown(at),
            }
        })
    }
}

/// The items that `*value` stands for.
pub fn spread(value: &Value) -> Vec<Value> {
    match &value.kind {
        Kind::Tuple(items, _) | Kind::List(items) | Kind::Set(items) => items.to_vec(),
        Kind::Env(Env { shape: Shape::List(how) | Shape::Tuple(how), .. }) => vec![Value::new(Kind::Rest(Some(*how)), value.at)],
        _ => vec![Value::new(Kind::Rest(None), value.at)],
    }
}

/// A text with each `gap` filled in by the next value; nothing else in it may ask for one.
pub fn filled(text: &Value, gap: &str, values: &[Value], at: Place) -> Value {
    let mark = gap.chars().next().unwrap_or_default();
    let Some(parts) = text.as_str().map(|text| text.split(gap).collect::<Vec<_>>()) else { return Value::unknown(at) };
    if parts.len() != values.len() + 1 || parts.iter().any(|part| part.contains(mark)) {
        return Value::unknown(at);
    }
    let mut made = parts[0].to_owned();
    for (value, part) in values.iter().zip(&parts[1..]) {
        let Some(known) = known_parts(value) else { return Value::unknown(at) };
        made += &known;
        made += part;
    }
    Value::text(made, at)
}

/// What is known of a text, for one that is added to another.
fn known_parts(text: &Value) -> Option<String> {
    match &text.kind {
        Kind::Str(text) => Some(text.text.to_string()),
        Kind::Partial(text) => Some(text.to_string()),
        Kind::Env(Env { shape: Shape::Text, .. }) | Kind::Unknown | Kind::Name(_) => Some(UNKNOWN_PART.to_string()),
        _ => None,
    }
}

fn sum(left: &Value, right: &Value, at: Place) -> Value {
    let joined = || spread(left).into_iter().chain(spread(right)).collect();
    match (&left.kind, &right.kind) {
        (Kind::Str(a), Kind::Str(b)) => Value::str(format!("{}{}", a.text, b.text), 1, at),
        (Kind::Str(_) | Kind::Partial(_), _) | (_, Kind::Str(_) | Kind::Partial(_)) => {
            match (known_parts(left), known_parts(right)) {
                (Some(a), Some(b)) => Value::text(format!("{a}{b}"), at),
                _ => Value::unknown(at),
            }
        }
        (Kind::Tuple(..), Kind::Tuple(..) | Kind::Unknown | Kind::Env(_)) | (Kind::Unknown | Kind::Env(_), Kind::Tuple(..)) => {
            Value::items(|items| Kind::Tuple(items, Brackets::Written), joined(), at)
        }
        // `list += tuple` is allowed, and so is what a library makes of the environment
        (Kind::List(_), Kind::List(_) | Kind::Tuple(..) | Kind::Unknown | Kind::Env(_))
        | (Kind::Unknown | Kind::Env(_), Kind::List(_)) => Value::items(Kind::List, joined(), at),
        _ => Value::unknown(at),
    }
}

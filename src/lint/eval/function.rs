//! Functions of the module itself, followed where they are called: `def env_bool(name, default): …`.

use std::rc::Rc;

use tree_sitter::Node;

use super::call::Arguments;
use super::statement::children;
use super::{Follow, Frame};
use crate::lint::value::{Condition, Kind, Place, Shape, Value};

/// Functions that call each other are followed this far.
const LONGEST_CHAIN: usize = 3;
/// Longer functions (in bytes) are not followed: settings have short ones.
const LONGEST: usize = 2048;

impl Follow<'_, '_> {
    /// A `def` or `lambda`, to be followed when it is called.
    pub fn callable(&self, node: Node<'_>) -> Value {
        let (at, text) = (self.place(node), self.text(node));
        let follows = text.len() <= LONGEST && !text.contains("yield") && !text.starts_with("async");
        Value::new(if follows { Kind::Function } else { Kind::Unknown }, at)
    }

    /// What a call returns. Unknown for a function of another file, or one that takes arguments in an unusual way.
    pub fn returned(&mut self, function: Place, arguments: &Arguments<'_>, at: Place) -> Value {
        let python = self.python.clone();
        let node = python
            .tree
            .as_ref()
            .filter(|_| function.file == self.file && self.functions < LONGEST_CHAIN)
            .and_then(|tree| tree.root_node().descendant_for_byte_range(function.span.start, function.span.end));
        let Some((node, frame)) = node.and_then(|node| Some((node, self.bound(node, arguments)?))) else {
            self.look_through(arguments);
            return Value::unknown(at);
        };
        let Some(body) = node.child_by_field_name("body") else { return Value::unknown(at) };
        let outer = std::mem::take(&mut self.returns);
        self.frames.push(frame);
        self.functions += 1;
        if node.kind() == "lambda" {
            let value = self.expression(body);
            self.returns.push(value);
        } else if self.block(body) {
            self.returns.push(Value::new(Kind::None, at));
        }
        self.functions -= 1;
        self.frames.pop();
        let returns = std::mem::replace(&mut self.returns, outer);
        let body = self.place(body);
        self.any_of(returns, body, at)
    }

    /// What the parameters are worth in one call.
    fn bound(&mut self, node: Node<'_>, arguments: &Arguments<'_>) -> Option<Frame> {
        let parameters = node.child_by_field_name("parameters").map(children).unwrap_or_default();
        let mut frame = Frame::new();
        let mut position = 0;
        for parameter in parameters {
            let name = match parameter.kind() {
                "identifier" => parameter,
                "default_parameter" | "typed_default_parameter" => parameter.child_by_field_name("name")?,
                "typed_parameter" => parameter.named_child(0).filter(|name| name.kind() == "identifier")?,
                "keyword_separator" | "positional_separator" => continue,
                _ => return None,
            };
            let name: Rc<str> = self.text(name).into();
            let given = arguments.get(position, &name).or_else(|| parameter.child_by_field_name("value"));
            position += 1;
            let value = given.map_or(Value::unknown(self.place(parameter)), |given| self.expression(given));
            frame.insert(name, value);
        }
        Some(frame)
    }

    /// One of what a function returns. Where it lets a text go in one place and makes something else of it in another, it has looked
    /// at the text before, and what is left can't be told. A default that it was given is no such thing.
    fn any_of(&self, returns: Vec<Value>, body: Place, at: Place) -> Value {
        let of_environment = |value: &Value| matches!(&value.kind, Kind::Env(env) if matches!(env.shape, Shape::Text | Shape::TruthOfText | Shape::Characters));
        let text = |value: &Value| {
            let constant = matches!(value.kind, Kind::Str(_) | Kind::None) || value.truth().is_some() && !body.holds(value.at);
            constant || of_environment(value)
        };
        let all: Vec<Value> = returns.iter().flat_map(Value::alternatives).map(|a| a.value).collect();
        let one = returns.len() <= 1;
        if !one && all.iter().any(of_environment) && !all.iter().all(text) {
            return Value::unknown(at);
        }
        let source = &self.python.source;
        let when = |value: &Value| {
            let line = source.location(value.at.span.start).line;
            let condition = Condition { text: format!("line {line} returns").into(), holds: true };
            if one || value.at.file != self.file { vec![] } else { vec![condition] }
        };
        // a text is shown where it is asked for, anything larger where it is written
        let shown = |value: &Value| match value.kind {
            Kind::Str(_) | Kind::Partial(_) | Kind::Env(_) => value.clone().moved(at),
            _ => value.clone(),
        };
        let returns = returns.iter().map(|value| (when(value), shown(value))).collect();
        Value::one_of(returns, at)
    }
}

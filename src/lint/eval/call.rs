//! Calls that settings are made with: the environment by four libraries, conversions, and methods of strings.

use std::rc::Rc;

use tree_sitter::Node;

use super::expression::filled;
use super::{DEEPEST, Follow, Frame};
use crate::lint::value::{Brackets, Condition, Csv, Kind, Library, Listed, Place, Reader, Shape, Value};

/// The arguments of one call.
pub struct Arguments<'t> {
    positional: Vec<Node<'t>>,
    named: Vec<(Rc<str>, Node<'t>)>,
}

impl<'t> Arguments<'t> {
    /// An argument that can be given by position (`usize::MAX`: it can't) or by name.
    pub fn get(&self, position: usize, name: &str) -> Option<Node<'t>> {
        let named = self.named.iter().find(|(known, _)| &**known == name).map(|(_, value)| *value);
        named.or_else(|| self.positional.get(position).copied())
    }
}

const BY_NAME: usize = usize::MAX;

impl Follow<'_, '_> {
    fn arguments<'t>(&self, node: Node<'t>) -> Arguments<'t> {
        let mut found = Arguments { positional: vec![], named: vec![] };
        let Some(list) = node.child_by_field_name("arguments") else { return found };
        if list.kind() == "generator_expression" {
            found.positional.push(list);
            return found;
        }
        let mut cursor = list.walk();
        for argument in list.named_children(&mut cursor).filter(|argument| !argument.is_extra()) {
            match (argument.kind(), argument.child_by_field_name("name"), argument.child_by_field_name("value")) {
                ("keyword_argument", Some(name), Some(value)) => found.named.push((self.text(name).into(), value)),
                _ => found.positional.push(argument),
            }
        }
        found
    }

    pub fn call(&mut self, node: Node<'_>, at: Place) -> Value {
        let Some(function) = node.child_by_field_name("function") else { return Value::unknown(at) };
        let arguments = self.arguments(node);
        if function.kind() == "attribute"
            && let (Some(object), Some(method)) =
                (function.child_by_field_name("object"), function.child_by_field_name("attribute"))
        {
            let object = self.expression(object);
            let method = self.text(method).to_owned();
            if !matches!(object.kind, Kind::Name(_) | Kind::Reader(_) | Kind::Class(_)) {
                return object.map(|object| self.method(object, &method, &arguments, at));
            }
        }
        let called = self.expression(function);
        match &called.kind {
            Kind::Reader(reader) => self.read(reader, &arguments, at),
            Kind::Function => self.returned(called.at, &arguments, at),
            Kind::Name(name) => self.named(name, &arguments, at),
            _ => {
                self.look_through(&arguments);
                Value::unknown(at)
            }
        }
    }

    /// Arguments of a call that is not followed: one may be `locals()`.
    pub fn look_through(&mut self, arguments: &Arguments<'_>) {
        for argument in arguments.positional.iter().chain(arguments.named.iter().map(|(_, value)| value)) {
            self.expression(*argument);
        }
    }

    fn value(&mut self, argument: Option<Node<'_>>) -> Option<Value> {
        argument.map(|argument| self.expression(argument))
    }

    /// A function by its dotted name.
    fn named(&mut self, name: &str, arguments: &Arguments<'_>, at: Place) -> Value {
        let first = arguments.positional.first().copied();
        match name {
            "os.environ.get" | "os.getenv" | "os.environ.pop" | "os.environ.setdefault" => {
                let variable = self.value(first).and_then(|v| v.as_str().map(Rc::from));
                let none = || Some(Value::new(Kind::None, at));
                let default = self.value(arguments.get(1, "default")).or_else(|| none().filter(|_| name != "os.environ.pop"));
                or_default(Value::env(variable.clone(), Shape::Text, at), default, variable, at)
            }
            "os.environ.copy" => Value::new(Kind::Name("os.environ".into()), at),
            "builtins.dict" if first.is_some_and(|f| matches!(self.expression(f).kind, Kind::Name(n) if &*n == "os.environ")) => {
                Value::new(Kind::Name("os.environ".into()), at)
            }
            "environ.Env" | "environ.FileAwareEnv" => {
                let mut schema = vec![];
                for (variable, kind) in &arguments.named {
                    schema.push((variable.clone(), self.expression(*kind)));
                }
                Value::new(Kind::Reader(Reader { library: Library::DjangoEnviron, method: None, schema: schema.into() }), at)
            }
            "environs.Env" | "environs.FileAwareEnv" => reader(Library::Environs, at),
            "decouple.AutoConfig" | "decouple.Config" => reader(Library::Decouple, at),
            "decouple.config" => {
                self.read(&Reader { library: Library::Decouple, method: None, schema: Rc::new([]) }, arguments, at)
            }
            "decouple.Csv" => {
                let tuple = arguments.get(BY_NAME, "post_process").is_some_and(|p| self.text(p) == "tuple");
                Value::new(Kind::Csv(Csv { tuple }), at)
            }
            "builtins.globals" | "builtins.locals" | "builtins.vars" if first.is_none() => {
                self.hide(at);
                Value::unknown(at)
            }
            "builtins.dict" if arguments.positional.is_empty() => {
                let mut pairs = vec![];
                for (key, value) in &arguments.named {
                    pairs.push((Value::str(key.clone(), 1, at), self.expression(*value)));
                }
                Value::new(Kind::Dict(pairs.into()), at)
            }
            "builtins.exec" | "builtins.setattr" | "dynaconf.DjangoDynaconf" => {
                self.look_through(arguments);
                self.hide(at);
                Value::unknown(at)
            }
            "re.compile" => self.value(first).unwrap_or_else(|| Value::unknown(at)),
            "builtins.tuple" | "builtins.list" | "builtins.set" | "builtins.frozenset" | "builtins.sorted" => {
                let generator = first.filter(|f| f.kind() == "generator_expression");
                let items = match generator {
                    Some(generator) => self.comprehension(generator, Kind::List, at),
                    None => first.map_or(Value::new(Kind::Tuple(Rc::new([]), Brackets::Written), at), |f| self.items_of(f)),
                };
                let name = name.to_owned();
                items.map(|items| collected(&name, items, at))
            }
            "builtins.filter" | "builtins.map" | "builtins.zip" => {
                self.look_through(arguments);
                Value::new(Kind::Generator, at)
            }
            "builtins.bool" => self.value(first).map_or(Value::new(Kind::Bool(false), at), |value| value.map(|v| as_bool(v, at))),
            "builtins.int" | "builtins.float" | "distutils.util.strtobool" => {
                self.look_through(arguments);
                Value::env(None, Shape::Number, at)
            }
            "builtins.str" => self.value(first).map_or(Value::unknown(at), |value| match value.kind {
                Kind::Str(_) => value,
                _ => Value::unknown(at),
            }),
            _ if name.starts_with("configurations.values.") => self.configured(name, arguments, at),
            _ => {
                self.look_through(arguments);
                Value::unknown(at)
            }
        }
    }

    /// What is iterated over: `map(…)` and `filter(…)` by what they give.
    pub fn items_of(&mut self, node: Node<'_>) -> Value {
        let at = self.place(node);
        let function = node.child_by_field_name("function").filter(|_| node.kind() == "call" && self.spend(1));
        let keeps = match function.map(|f| self.text(f)) {
            Some("filter") => true,
            Some("map") => false,
            _ => return self.expression(node),
        };
        let arguments = self.arguments(node);
        let [by, items] = arguments.positional[..] else { return Value::unknown(at) };
        let stripping = self.text(by) == "str.strip" || self.text(by).ends_with(".strip()");
        if self.depth >= DEEPEST {
            return Value::unknown(at);
        }
        self.depth += 1;
        let items = self.items_of(items);
        self.depth -= 1;
        items.map(|items| mapped(items, stripping, keeps, at))
    }

    /// `values.TupleValue(default)` of django-configurations: the default, or what its variable says.
    fn configured(&mut self, name: &str, arguments: &Arguments<'_>, at: Place) -> Value {
        let default = self.value(arguments.get(0, "default"));
        let fixed = arguments.get(BY_NAME, "environ").is_some_and(|e| self.text(e) == "False");
        let shape = match name.rsplit('.').next().unwrap_or_default() {
            "BooleanValue" => Shape::Bool,
            "IntegerValue" | "FloatValue" | "DecimalValue" | "PositiveIntegerValue" => Shape::Number,
            "ListValue" => Shape::List(Listed::Stripped),
            "TupleValue" => Shape::Tuple(Listed::Stripped),
            "Value" => Shape::Text,
            _ => return Value::unknown(at),
        };
        let from_outside = Value::env(None, shape, at);
        // a default of None is an empty collection
        let nothing = |default: Value| match (&default.kind, shape) {
            (Kind::None, Shape::List(_)) => Value::items(Kind::List, vec![], at),
            (Kind::None, Shape::Tuple(_)) => Value::items(|items| Kind::Tuple(items, Brackets::Written), vec![], at),
            _ => default,
        };
        match default.map(nothing) {
            Some(default) if fixed => default,
            default => or_default(from_outside, default, None, at),
        }
    }

    /// A call of an environment reader.
    fn read(&mut self, reader: &Reader, arguments: &Arguments<'_>, at: Place) -> Value {
        let variable: Option<Rc<str>> = self.value(arguments.positional.first().copied()).and_then(|v| v.as_str().map(Rc::from));
        let Some(variable) = variable else { return Value::unknown(at) };
        let cast = arguments.get(BY_NAME, "cast");
        match reader.library {
            Library::Decouple => {
                let cast = arguments.get(2, "cast");
                let default = self.value(arguments.get(1, "default"));
                let text = Value::env(Some(variable.clone()), Shape::Text, at);
                let Some(cast) = cast else { return or_default(text, default, Some(variable), at) };
                let read = self.cast(cast, &text, at);
                let default =
                    default.map(|default| default.map(|d| if d.as_str().is_some() { self.cast(cast, d, at) } else { d.clone() }));
                or_default(read, default, Some(variable), at)
            }
            Library::DjangoEnviron | Library::Environs => {
                let environ = reader.library == Library::DjangoEnviron;
                let method = reader.method.clone();
                let schema = reader.schema.iter().find(|(name, _)| *name == variable).map(|(_, kind)| kind.clone());
                // `env(name, cast, default)`, `env.bool(name, default)`, and in between for those with an item type
                let position = match method.as_deref() {
                    None if environ => 2,
                    Some("list" | "tuple" | "dict" | "set") if environ => 2,
                    _ => 1,
                };
                let default = self.value(arguments.get(position, "default"));
                let schema_type =
                    schema.as_ref().map(|kind| kind.sequence().and_then(|pair| pair.first()).unwrap_or(kind).clone());
                let schema_default = schema.as_ref().and_then(|kind| kind.sequence()).and_then(|pair| pair.get(1)).cloned();
                let listed = if environ { Listed::Environ } else { Listed::Stripped };
                let word = match (method.as_deref(), cast.filter(|_| method.is_none())) {
                    (Some(method), _) => method.to_owned(),
                    (None, Some(cast)) => self.text(cast).to_owned(),
                    (None, None) => match (&schema_type, &default) {
                        (Some(Value { kind: Kind::Name(name), .. }), _) => name.trim_start_matches("builtins.").to_owned(),
                        (Some(_), _) => "?".to_owned(),
                        // django-environ casts to the type of the default
                        (None, Some(default)) if environ => type_of(default).to_owned(),
                        _ => "str".to_owned(),
                    },
                };
                let shape = match word.as_str() {
                    "str" | "unicode" | "" => Shape::Text,
                    "bool" => Shape::Bool,
                    "int" | "float" => Shape::Number,
                    "list" => Shape::List(listed),
                    "tuple" => Shape::Tuple(listed),
                    _ => return Value::unknown(at),
                };
                or_default(Value::env(Some(variable.clone()), shape, at), default.or(schema_default), Some(variable), at)
            }
        }
    }

    /// decouple's `cast=…`, applied to a text.
    fn cast(&mut self, cast: Node<'_>, text: &Value, at: Place) -> Value {
        if cast.kind() == "lambda" {
            return self.apply(cast, text, at);
        }
        match &self.expression(cast).kind {
            Kind::Csv(csv) => split(text, ",", true, csv.tuple, at),
            Kind::Name(name) => match (&**name, &text.kind) {
                ("builtins.str", _) => text.clone(),
                ("builtins.bool", Kind::Env(env)) => Value::env(env.variable.clone(), Shape::Bool, at),
                ("builtins.bool", Kind::Str(text)) => {
                    let on = matches!(text.text.to_ascii_lowercase().as_str(), "y" | "yes" | "t" | "true" | "on" | "1");
                    Value::new(Kind::Bool(on), at)
                }
                ("builtins.int" | "builtins.float", _) => Value::env(None, Shape::Number, at),
                ("builtins.tuple" | "builtins.list", _) => collected(name, text, at),
                _ => Value::unknown(at),
            },
            _ => Value::unknown(at),
        }
    }

    /// A lambda of one argument, applied.
    fn apply(&mut self, lambda: Node<'_>, argument: &Value, at: Place) -> Value {
        let parameter = lambda.child_by_field_name("parameters").and_then(|p| p.named_child(0));
        let (Some(parameter), Some(body)) = (parameter, lambda.child_by_field_name("body")) else { return Value::unknown(at) };
        let name: Rc<str> = self.text(parameter).into();
        self.frames.push(Frame::from([(name, argument.clone())]));
        self.functions += 1;
        let value = self.expression(body);
        self.functions -= 1;
        self.frames.pop();
        value.moved(at)
    }

    /// A method of a text or a collection.
    fn method(&mut self, object: &Value, method: &str, arguments: &Arguments<'_>, at: Place) -> Value {
        let text_of_env = matches!(&object.kind, Kind::Env(env) if env.shape == Shape::Text);
        let variable = match &object.kind {
            Kind::Env(env) => env.variable.clone(),
            _ => None,
        };
        let argument = |this: &mut Self, i: usize| this.value(arguments.positional.get(i).copied());
        match (&object.kind, method) {
            (_, "split") if text_of_env || object.as_str().is_some() => match argument(self, 0) {
                None => split(object, "", true, false, at),
                // cut at blanks, the parts have none
                Some(by) => by.as_str().map_or(Value::unknown(at), |by| split(object, by, by == " ", false, at)),
            },
            (_, "strip" | "lstrip" | "rstrip" | "lower" | "upper" | "replace") if text_of_env => {
                // without its blanks, what is split after that has none either
                let blanks = method == "replace" && argument(self, 0).is_some_and(|from| from.as_str() == Some(" "));
                if blanks { Value::unknown(at) } else { Value::env(variable, Shape::Text, at) }
            }
            (Kind::Str(text), _) => {
                let text = &text.text;
                match method {
                    "strip" if arguments.positional.is_empty() => Value::str(text.trim(), 1, at),
                    "upper" => Value::str(text.to_uppercase(), 1, at),
                    "lower" => Value::str(text.to_lowercase(), 1, at),
                    "replace" => match (argument(self, 0), argument(self, 1)) {
                        (Some(from), Some(to)) => match (from.as_str(), to.as_str()) {
                            (Some(from), Some(to)) if !from.is_empty() && to.len() <= 256 => {
                                Value::str(text.replace(from, to), 1, at)
                            }
                            _ => Value::unknown(at),
                        },
                        _ => Value::unknown(at),
                    },
                    "format" if arguments.named.is_empty() => {
                        let values: Vec<Value> = arguments.positional.iter().map(|a| self.expression(*a)).collect();
                        filled(object, "{}", &values, at)
                    }
                    "join" => match argument(self, 0).as_ref().and_then(Value::sequence).map(|all| (all.len(), all.to_vec())) {
                        Some((1.., all)) if all.iter().all(|part| part.as_str().is_some()) => {
                            Value::str(all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(text), 1, at)
                        }
                        _ => Value::unknown(at),
                    },
                    "startswith" | "endswith" | "isdigit" => Value::env(None, Shape::Bool, at),
                    _ => Value::unknown(at),
                }
            }
            (Kind::Dict(pairs), "get") => {
                let key = argument(self, 0);
                let key = key.as_ref().and_then(Value::as_str);
                let found =
                    pairs.iter().find(|(known, _)| key.is_some() && known.as_str() == key).map(|(_, value)| value.clone());
                found.unwrap_or_else(|| Value::unknown(at))
            }
            (Kind::Tuple(..) | Kind::List(_), "copy") => object.clone(),
            _ => {
                self.look_through(arguments);
                Value::unknown(at)
            }
        }
    }
}

/// What an imported name is.
pub fn imported(name: &str, at: Place) -> Value {
    match name {
        "environs.env" => reader(Library::Environs, at), // made by the library itself
        _ => Value::new(Kind::Name(name.into()), at),
    }
}

pub fn reader(library: Library, at: Place) -> Value {
    Value::new(Kind::Reader(Reader { library, method: None, schema: Rc::new([]) }), at)
}

/// What is read, or the default while the variable is not set.
fn or_default(read: Value, default: Option<Value>, variable: Option<Rc<str>>, at: Place) -> Value {
    let Some(default) = default else { return read };
    let text: Rc<str> = variable.map_or("the variable is set".into(), |name| format!("{name} is set").into());
    let when = |holds| vec![Condition { text: text.clone(), holds }];
    Value::one_of(vec![(when(false), default), (when(true), read)], at)
}

fn type_of(value: &Value) -> &'static str {
    match &value.kind {
        Kind::Bool(_) => "bool",
        Kind::Int(_) | Kind::Float => "int",
        Kind::List(_) => "list",
        Kind::Tuple(..) => "tuple",
        Kind::None | Kind::Str(_) => "str",
        _ => "?",
    }
}

/// A text cut at each `by`, or at blanks when that is empty.
fn split(text: &Value, by: &str, stripped: bool, tuple: bool, at: Place) -> Value {
    match &text.kind {
        Kind::Str(text) => {
            let text = &*text.text;
            let parts: Vec<&str> = match (by, stripped) {
                ("", _) => text.split_whitespace().collect(),
                (by, true) => text.split(by).map(str::trim).filter(|part| !part.is_empty()).collect(),
                (by, false) => text.split(by).collect(),
            };
            let items = parts.into_iter().map(|part| Value::str(part, 1, at)).collect();
            match tuple {
                true => Value::items(|items| Kind::Tuple(items, Brackets::Written), items, at),
                false => Value::items(Kind::List, items, at),
            }
        }
        Kind::Env(env) if env.shape == Shape::Text => {
            let how = if stripped { Listed::Stripped } else { Listed::Split };
            Value::env(env.variable.clone(), if tuple { Shape::Tuple(how) } else { Shape::List(how) }, at)
        }
        _ => Value::unknown(at),
    }
}

/// `tuple(items)`, `list(items)` and the like.
fn collected(name: &str, items: &Value, at: Place) -> Value {
    let tuple = name.ends_with("tuple");
    let set = name.ends_with("set");
    let of_items = |items: Vec<Value>| match (tuple, set) {
        (true, _) => Value::items(|items| Kind::Tuple(items, Brackets::Written), items, at),
        (_, true) => Value::items(Kind::Set, items, at),
        _ => Value::items(Kind::List, items, at),
    };
    match &items.kind {
        Kind::Tuple(all, _) | Kind::List(all) | Kind::Set(all) => of_items(all.to_vec()),
        Kind::Dict(pairs) => of_items(pairs.iter().map(|(key, _)| key.clone()).collect()),
        Kind::Str(text) => of_items(text.text.chars().map(|c| Value::str(c.to_string(), 1, at)).collect()),
        Kind::Env(env) => {
            let shape = match env.shape {
                Shape::Text => Shape::Characters,
                Shape::List(how) | Shape::Tuple(how) if tuple => Shape::Tuple(how),
                Shape::List(how) | Shape::Tuple(how) if !set => Shape::List(how),
                _ => return Value::unknown(at),
            };
            Value::env(env.variable.clone(), shape, at)
        }
        _ => Value::unknown(at),
    }
}

/// `map(str.strip, items)`, `filter(None, items)`
fn mapped(items: &Value, stripping: bool, keeps: bool, at: Place) -> Value {
    match &items.kind {
        Kind::Env(env) => match env.shape {
            Shape::List(how) | Shape::Tuple(how) if stripping || keeps => {
                let how = if stripping { Listed::Stripped } else { how };
                Value::env(env.variable.clone(), Shape::List(how), at)
            }
            _ => Value::unknown(at),
        },
        Kind::Tuple(all, _) | Kind::List(all) if stripping || keeps => {
            let all = all.iter().map(|item| match item.as_str() {
                Some(text) if stripping => Value::str(text.trim(), 1, item.at),
                _ => item.clone(),
            });
            Value::items(Kind::List, all.filter(|item| !keeps || item.truth() != Some(false)).collect(), at)
        }
        _ => Value::unknown(at),
    }
}

/// `bool(value)`
fn as_bool(value: &Value, at: Place) -> Value {
    match (&value.kind, value.truth()) {
        (Kind::Env(env), _) if matches!(env.shape, Shape::Text | Shape::Characters) => {
            Value::env(env.variable.clone(), Shape::TruthOfText, at)
        }
        // `bool("False")` is true: as wrong as the text itself
        (Kind::Str(text), _) if !text.text.is_empty() => value.clone(),
        (_, Some(truth)) => Value::new(Kind::Bool(truth), at),
        _ => Value::env(None, Shape::Bool, at),
    }
}

//! Statements: what they bind, and under which conditions.

use std::rc::Rc;

use tree_sitter::Node;

use super::{Assignment, Configured, DEEPEST, Follow, Frame};
use crate::lint::value::{Alternative, Brackets, Class, Condition, Kind, Listed, Place, Shape, Value};

/// Those of a node's children that mean something.
pub fn children(node: Node<'_>) -> Vec<Node<'_>> {
    let mut cursor = node.walk();
    node.named_children(&mut cursor).filter(|child| child.kind() != "comment").collect()
}

pub fn of_kind<'t>(node: Node<'t>, kind: &str) -> Vec<Node<'t>> {
    children(node).into_iter().filter(|child| child.kind() == kind).collect()
}

impl Follow<'_, '_> {
    /// Follows the statements of a block. False when its end is never reached.
    pub fn block(&mut self, block: Node<'_>) -> bool {
        if self.depth >= DEEPEST {
            self.fuel = 0;
        }
        self.depth += 1;
        let mut cursor = block.walk();
        let mut goes_on = true;
        for statement in block.named_children(&mut cursor) {
            if !self.spend(1) || !goes_on {
                break;
            }
            goes_on = self.statement(statement);
        }
        self.depth -= 1;
        goes_on
    }

    fn statement(&mut self, node: Node<'_>) -> bool {
        match node.kind() {
            // what the parser made of it may be anything
            "expression_statement" if node.has_error() => {
                let at = self.place(node);
                let left = node.named_child(0).and_then(|inner| inner.child_by_field_name("left"));
                left.into_iter().for_each(|left| self.bind(left, Value::unknown(at), None));
            }
            "ERROR" => self.hide(self.place(node)),
            "expression_statement" => children(node).into_iter().for_each(|inner| self.expression_statement(inner)),
            "if_statement" => return self.if_statement(node),
            "try_statement" => return self.try_statement(node),
            "match_statement" => return self.match_statement(node),
            "with_statement" => return self.with_statement(node),
            "for_statement" | "while_statement" => self.a_loop(node),
            "class_definition" => self.class(node),
            "function_definition" => self.function(node),
            "decorated_definition" => self.decorated(node),
            "import_statement" => self.import(node),
            "import_from_statement" => self.import_from(node),
            "delete_statement" => {
                for target in children(node).into_iter().filter(|target| target.kind() == "identifier") {
                    let (name, at) = (self.text(target).to_owned(), self.place(target));
                    self.set(&name, Value::new(Kind::Unset, at));
                }
            }
            "raise_statement" => return false,
            "return_statement" if self.functions > 0 => {
                let at = self.place(node);
                let value = node.named_child(0).map_or(Value::new(Kind::None, at), |value| self.expression(value));
                self.returns.push(value);
                return false;
            }
            _ => {}
        }
        true
    }

    fn expression_statement(&mut self, node: Node<'_>) {
        match node.kind() {
            "assignment" => self.assignment(node),
            "augmented_assignment" => self.augmented(node),
            "call" => self.call_statement(node),
            _ => {
                self.expression(node);
            }
        }
    }

    /// `a = b = value`, `a: type = value`.
    fn assignment(&mut self, node: Node<'_>) {
        let mut targets = vec![];
        let mut inner = node;
        let right = loop {
            targets.extend(inner.child_by_field_name("left"));
            match inner.child_by_field_name("right") {
                Some(next) if next.kind() == "assignment" => inner = next,
                Some(right) => break right,
                None => return, // an annotation alone binds nothing
            }
        };
        let value = self.expression(right).assigned_at(self.place(right));
        for target in targets {
            self.bind(target, value.clone(), Some(right));
        }
    }

    /// Binds whatever stands on the left side.
    pub fn bind(&mut self, target: Node<'_>, value: Value, right: Option<Node<'_>>) {
        if !self.spend(1) {
            return;
        }
        match target.kind() {
            "identifier" => {
                let name = self.text(target).to_owned();
                let reads = right.is_some_and(|right| self.mentions(right, &name));
                self.assign(target, &name, value, reads);
            }
            "pattern_list" | "tuple_pattern" | "list_pattern" => self.unpack(&children(target), &value),
            "subscript" | "attribute" => self.change_part(target, value),
            _ => {}
        }
    }

    /// `a, *b = value`
    fn unpack(&mut self, targets: &[Node<'_>], value: &Value) {
        let items = value.sequence().filter(|items| items.iter().all(|item| !matches!(item.kind, Kind::Rest(_))));
        let star = targets.iter().position(|target| target.kind() == "list_splat_pattern");
        for (i, target) in targets.iter().enumerate() {
            let unknown = Value::unknown(value.at);
            let after = targets.len() - i - 1;
            match (items, star) {
                (Some(items), Some(star)) if i == star && items.len() >= targets.len() - 1 => {
                    let middle = items[i..items.len() - after].to_vec();
                    if let Some(name) = target.named_child(0) {
                        self.bind(name, Value::items(Kind::List, middle, value.at), None);
                    }
                }
                (Some(items), Some(star)) if i > star && items.len() > after => {
                    self.bind(*target, items[items.len() - after - 1].clone(), None);
                }
                (Some(items), _) => {
                    let at = self.place(*target);
                    let item = items.get(i).cloned().unwrap_or_else(|| Value::unknown(at));
                    self.bind(*target, item.clone().assigned_at(item.at), None);
                }
                _ => self.bind(target.named_child(0).filter(|_| Some(i) == star).unwrap_or(*target), unknown, None),
            }
        }
    }

    /// `globals()["X"] = …` binds X; `X["a"] = …` makes X something that is not followed.
    fn change_part(&mut self, target: Node<'_>, value: Value) {
        let at = self.place(target);
        if let (Some(object), Some(key)) = (target.child_by_field_name("value"), target.child_by_field_name("subscript"))
            && object.kind() == "call"
        {
            match self.expression(key).as_str().map(str::to_owned) {
                Some(name) if self.is_namespace(object) => self.assign(target, &name, value, false),
                _ => {
                    self.expression(object);
                }
            }
            return;
        }
        let mut root = target;
        for _ in 0..DEEPEST {
            let object = root.child_by_field_name("value").or_else(|| root.child_by_field_name("object"));
            match object {
                Some(object) if matches!(root.kind(), "subscript" | "attribute") => root = object,
                _ => break,
            }
        }
        let name = self.text(root).to_owned();
        let changes = root.kind() == "identifier" && self.get(&name).is_some_and(|v| !matches!(v.kind, Kind::Name(_)));
        if changes {
            self.set(&name, Value::unknown(at));
        }
    }

    /// Whether this is `globals()`, `locals()` or `vars()`.
    pub fn is_namespace(&self, call: Node<'_>) -> bool {
        matches!(self.text(call), "globals()" | "locals()" | "vars()")
    }

    fn augmented(&mut self, node: Node<'_>) {
        let (Some(left), Some(right)) = (node.child_by_field_name("left"), node.child_by_field_name("right")) else { return };
        if left.kind() != "identifier" {
            let at = self.place(node);
            return self.change_part(left, Value::unknown(at));
        }
        let added = self.items_of(right);
        let before = self.expression(left);
        let at = self.place(node);
        let plus = node.child_by_field_name("operator").is_some_and(|op| self.text(op) == "+=");
        let added = if matches!(before.kind, Kind::List(_)) { letters(added) } else { added };
        let value = if plus { self.plus(&before, &added, at) } else { Value::unknown(at) };
        let name = self.text(left).to_owned();
        self.assign(left, &name, value.assigned_at(at), true);
    }

    /// A call for its effect: `X.append(…)`, `include(…)`, `exec(…)`.
    fn call_statement(&mut self, node: Node<'_>) {
        let at = self.place(node);
        let function = node.child_by_field_name("function");
        let arguments = node.child_by_field_name("arguments").map(children).unwrap_or_default();
        if let Some(function) = function.filter(|f| f.kind() == "attribute")
            && let Some(object) = function.child_by_field_name("object").filter(|o| o.kind() == "identifier")
            && let Some(method) = function.child_by_field_name("attribute")
        {
            let (name, method) = (self.text(object).to_owned(), self.text(method).to_owned());
            if let Some(before) = self.get(&name).cloned().filter(|v| !matches!(v.kind, Kind::Name(_) | Kind::Reader(_))) {
                let argument = |this: &mut Self, i: usize| arguments.get(i).map(|a| this.items_of(*a));
                let list = |value| Value::items(Kind::List, vec![value], at);
                let after = match method.as_str() {
                    "append" => argument(self, 0).map(|item| self.plus(&before, &list(item), at)),
                    "extend" => argument(self, 0).map(|more| self.plus(&before, &letters(more), at)),
                    "remove" => argument(self, 0).map(|gone| without(&before, &gone, at)),
                    "insert" => argument(self, 1).map(|item| self.plus(&list(item), &before, at)),
                    "pop" | "update" | "clear" | "sort" | "reverse" | "setdefault" | "add" => Some(Value::unknown(at)),
                    _ => None,
                };
                if let Some(after) = after {
                    self.assign(object, &name, after.assigned_at(at), true);
                }
                return;
            }
        }
        if let Some(function) = function.filter(|f| self.text(*f).ends_with(").update"))
            && function.child_by_field_name("object").is_some_and(|object| self.is_namespace(object))
        {
            return arguments.into_iter().for_each(|argument| self.take_names(argument));
        }
        let called = function.map(|f| self.expression(f));
        match called.as_ref().map(|v| &v.kind) {
            Some(Kind::Name(name)) if &**name == "split_settings.tools.include" => {
                for argument in arguments.into_iter().filter(|a| a.kind() != "keyword_argument") {
                    let path = self.expression(argument).as_str().map(str::to_owned);
                    match path.and_then(|path| self.modules.beside(self.file, &path)) {
                        Some(file) => self.star(file, self.place(argument)),
                        None => self.hide(self.place(argument)),
                    }
                }
            }
            _ => {
                self.expression(node);
            }
        }
    }

    /// An argument of `globals().update(…)`: `NAME=value`, or a dict of names.
    fn take_names(&mut self, argument: Node<'_>) {
        let at = self.place(argument);
        if let ("keyword_argument", Some(name), Some(right)) =
            (argument.kind(), argument.child_by_field_name("name"), argument.child_by_field_name("value"))
        {
            let value = self.expression(right).assigned_at(self.place(right));
            let text = self.text(name).to_owned();
            return self.assign(name, &text, value, false);
        }
        let dict = if argument.kind() == "dictionary_splat" { argument.named_child(0).unwrap_or(argument) } else { argument };
        let names = match self.expression(dict).kind {
            Kind::Dict(pairs) if pairs.iter().all(|(key, _)| key.as_str().is_some()) => pairs,
            _ => return self.hide(at),
        };
        for (name, value) in names.iter() {
            let Some(text) = name.as_str().map(str::to_owned) else { continue };
            self.assign(argument, &text, value.clone().assigned_at(value.at), false);
        }
    }

    /// From here on the module may hold names that can't be seen.
    pub fn hide(&mut self, at: Place) {
        self.module.opaque.get_or_insert(at);
    }

    fn if_statement(&mut self, node: Node<'_>) -> bool {
        let mut arms = vec![(node.child_by_field_name("condition"), node.child_by_field_name("consequence"))];
        let mut cursor = node.walk();
        for clause in node.children_by_field_name("alternative", &mut cursor) {
            let body = clause.child_by_field_name("consequence").or_else(|| clause.child_by_field_name("body"));
            arms.push((clause.child_by_field_name("condition"), body));
        }
        let mut branches = vec![];
        let mut before: Vec<(Node<'_>, Vec<Condition>)> = vec![];
        let mut complete = false;
        for (condition, body) in arms {
            let constant = condition.and_then(|condition| self.constant(condition));
            if constant == Some(false) || complete {
                continue;
            }
            if let Some(condition) = condition {
                self.expression(condition); // it may bind a name by `:=`
            }
            let mut when: Vec<Condition> = before.iter().flat_map(|(_, unmet)| unmet.clone()).collect();
            when.extend(
                condition.filter(|_| constant.is_none()).into_iter().flat_map(|condition| self.conditions(condition, true)),
            );
            let frame = self.branch(|this| {
                before.iter().for_each(|(earlier, _)| this.narrow(*earlier, false));
                if let Some(condition) = condition {
                    this.narrow(condition, true);
                }
                body.is_none_or(|body| this.block(body))
            });
            branches.push((when, frame));
            match condition {
                Some(condition) if constant.is_none() => before.push((condition, self.conditions(condition, false))),
                _ => complete = true,
            }
        }
        if !complete {
            let when = before.iter().flat_map(|(_, unmet)| unmet.clone()).collect();
            let frame = self.branch(|this| {
                before.iter().for_each(|(earlier, _)| this.narrow(*earlier, false));
                true
            });
            branches.push((when, frame));
        }
        let at = self.place(node);
        self.join(branches, at)
    }

    /// Inside a branch, a name that its condition tests is only what passes the test.
    fn narrow(&mut self, condition: Node<'_>, holds: bool) {
        if !self.spend(1) || self.depth > DEEPEST {
            return;
        }
        match condition.kind() {
            "parenthesized_expression" => condition.named_child(0).into_iter().for_each(|inner| self.narrow(inner, holds)),
            "not_operator" => condition.child_by_field_name("argument").into_iter().for_each(|inner| self.narrow(inner, !holds)),
            "named_expression" => condition.child_by_field_name("name").into_iter().for_each(|name| self.narrow(name, holds)),
            "boolean_operator" if holds && condition.child_by_field_name("operator").is_some_and(|op| op.kind() == "and") => {
                self.depth += 1;
                children(condition).into_iter().for_each(|part| self.narrow(part, true));
                self.depth -= 1;
            }
            "identifier" => self.keep(condition, |value| match (&value.kind, holds) {
                (Kind::Env(env), false) if env.shape == Shape::Text => Some(Value::str("", 1, value.at)),
                _ => value.truth().is_none_or(|truth| truth == holds).then(|| value.clone()),
            }),
            "comparison_operator" => {
                let (line, name) = (self.line(condition), condition.named_child(0));
                let inside = condition.named_child(1).filter(|name| name.kind() == "identifier" && line.contains(" in "));
                if let (Some(part), Some(whole), true) = (name, inside, condition.named_child_count() == 2)
                    && let Some(part) = self.expression(part).as_str().map(str::to_owned)
                {
                    let contained = holds != line.contains(" not in ");
                    return self.keep(whole, |value| {
                        value.as_str().is_none_or(|text| text.contains(&part) == contained).then(|| value.clone())
                    });
                }
                let is_none = line.ends_with(" is None");
                if let Some(name) = name.filter(|name| name.kind() == "identifier" && (is_none || line.ends_with(" is not None")))
                {
                    self.keep(name, |value| (matches!(value.kind, Kind::None) == (is_none == holds)).then(|| value.clone()));
                }
            }
            "call" => {
                let arguments = condition.child_by_field_name("arguments").map(children).unwrap_or_default();
                if let [name, class] = arguments[..]
                    && condition.child_by_field_name("function").is_some_and(|f| self.text(f) == "isinstance")
                    && self.text(class) == "str"
                    && name.kind() == "identifier"
                {
                    let text =
                        |v: &Value| matches!(&v.kind, Kind::Str(_)) || matches!(&v.kind, Kind::Env(e) if e.shape == Shape::Text);
                    self.keep(name, |value| (text(value) == holds).then(|| value.clone()));
                }
            }
            _ => {}
        }
    }

    fn keep(&mut self, name: Node<'_>, mut keep: impl FnMut(&Value) -> Option<Value>) {
        let name = self.text(name).to_owned();
        let Some(value) = self.get(&name).cloned() else { return };
        let all = value.alternatives();
        let kept: Vec<(Vec<Condition>, Value)> =
            all.iter().filter_map(|Alternative { when, value }| Some((when.to_vec(), keep(value)?))).collect();
        let changed = kept.len() != all.len()
            || kept.iter().zip(&all).any(|((_, a), b)| std::mem::discriminant(&a.kind) != std::mem::discriminant(&b.value.kind));
        if changed && !kept.is_empty() {
            self.set(&name, Value::one_of(kept, value.at));
        }
    }

    fn try_statement(&mut self, node: Node<'_>) -> bool {
        let at = self.place(node);
        let handlers = of_kind(node, "except_clause");
        let otherwise = of_kind(node, "else_clause").first().and_then(|clause| clause.child_by_field_name("body"));
        let caught: Vec<Condition> = handlers
            .iter()
            .map(|handler| {
                let what = handler.child_by_field_name("value").map_or("anything".to_owned(), |value| self.line(value));
                Condition { text: format!("{what} is raised").into(), holds: true }
            })
            .collect();
        let body = node.child_by_field_name("body");
        let tried = self.branch(|this| body.is_none_or(|b| this.block(b)) && otherwise.is_none_or(|b| this.block(b)));
        let nothing_raised = caught.iter().map(|c| Condition { holds: false, ..c.clone() }).collect();
        let mut branches = vec![(nothing_raised, tried)];
        for (handler, condition) in handlers.into_iter().zip(caught) {
            let block = of_kind(handler, "block").first().copied();
            let frame = self.branch(|this| block.is_none_or(|block| this.block(block)));
            branches.push((vec![condition], frame));
        }
        let goes_on = self.join(branches, at);
        let last = of_kind(node, "finally_clause").first().and_then(|clause| of_kind(*clause, "block").first().copied());
        goes_on & last.is_none_or(|block| self.block(block))
    }

    fn match_statement(&mut self, node: Node<'_>) -> bool {
        let subject = node.child_by_field_name("subject").map_or(String::new(), |subject| self.line(subject));
        let at = self.place(node);
        let cases = node.child_by_field_name("body").map(|body| of_kind(body, "case_clause")).unwrap_or_default();
        let (mut branches, mut before, mut complete) = (vec![], vec![], false);
        for case in cases {
            let pattern = of_kind(case, "case_pattern").iter().map(|p| self.line(*p)).collect::<Vec<_>>().join(", ");
            let block = case.child_by_field_name("consequence");
            let frame = self.branch(|this| block.is_none_or(|block| this.block(block)));
            let met = Condition { text: format!("{subject} matches {pattern}").into(), holds: true };
            let mut when: Vec<Condition> = before.clone();
            complete = pattern == "_" && case.child_by_field_name("guard").is_none();
            if !complete {
                when.push(met.clone());
                before.push(Condition { holds: false, ..met });
            }
            branches.push((when, frame));
        }
        if !complete {
            branches.push((before, Some(Frame::new())));
        }
        self.join(branches, at)
    }

    fn with_statement(&mut self, node: Node<'_>) -> bool {
        let Some(body) = node.child_by_field_name("body") else { return true };
        let Some(suppress) = of_kind(node, "with_clause").first().map(|c| self.line(*c)).filter(|c| c.contains("suppress"))
        else {
            return self.block(body);
        };
        let frame = self.branch(|this| this.block(body));
        let when = |holds| vec![Condition { text: suppress.as_str().into(), holds }];
        let at = self.place(node);
        self.join(vec![(when(false), frame), (when(true), Some(Frame::new()))], at)
    }

    fn a_loop(&mut self, node: Node<'_>) {
        let at = self.place(node);
        let Some(body) = node.child_by_field_name("body") else { return };
        let head: String = self.text(node).lines().next().unwrap_or_default().trim_end_matches(':').into();
        let frame = self.branch(|this| {
            if let Some(left) = node.child_by_field_name("left") {
                this.bind(left, Value::unknown(at), None);
            }
            this.block(body);
            true
        });
        let when = |holds| vec![Condition { text: head.as_str().into(), holds }];
        self.join(vec![(when(true), frame), (when(false), Some(Frame::new()))], at);
        if let Some(otherwise) = node.child_by_field_name("alternative").and_then(|clause| clause.child_by_field_name("body")) {
            self.block(otherwise);
        }
    }

    fn function(&mut self, node: Node<'_>) {
        let at = self.place(node);
        if let Some(name) = node.child_by_field_name("name") {
            let (name, value) = (self.text(name).to_owned(), self.callable(node));
            self.set(&name, value);
        }
        // a name that the function declares global is what some call of it made of the name
        if self.text(node).contains("global ")
            && let Some(body) = node.child_by_field_name("body")
        {
            for statement in of_kind(body, "global_statement") {
                for name in children(statement) {
                    let name = self.text(name).to_owned();
                    self.set(&name, Value::unknown(at));
                }
            }
        }
    }

    /// A property of a class is worth what it returns; any other decorated thing is not followed.
    fn decorated(&mut self, node: Node<'_>) {
        let Some(definition) = node.child_by_field_name("definition") else { return };
        if definition.kind() == "class_definition" {
            return self.class(definition);
        }
        self.function(definition);
        if let Some(name) = definition.child_by_field_name("name") {
            let (name, at) = (self.text(name).to_owned(), self.place(definition));
            self.set(&name, Value::unknown(at)); // whatever the decorators made of it
        }
        let property = of_kind(node, "decorator").iter().any(|d| self.text(*d).trim_end_matches("()").ends_with("property"));
        let returned = definition.child_by_field_name("body").and_then(|body| {
            let last = children(body).pop().filter(|last| last.kind() == "return_statement")?;
            last.named_child(0)
        });
        if let (true, Some(name), Some(returned)) = (property, definition.child_by_field_name("name"), returned) {
            let value = self.expression(returned).assigned_at(self.place(returned));
            let text = self.text(name).to_owned();
            self.assign(name, &text, value, false);
        }
    }

    fn class(&mut self, node: Node<'_>) {
        let at = self.place(node);
        let (Some(name), Some(body)) = (node.child_by_field_name("name"), node.child_by_field_name("body")) else { return };
        let name: Rc<str> = self.text(name).into();
        let bases = node.child_by_field_name("superclasses").map(children).unwrap_or_default();
        let mut names: std::collections::BTreeMap<Rc<str>, Value> = Default::default();
        let mut configuration = false;
        for base in bases.into_iter().rev() {
            match self.expression(base).kind {
                Kind::Class(class) if self.spend(class.names.len()) => {
                    configuration |= class.configuration;
                    names.extend(class.names.iter().cloned());
                }
                Kind::Name(base) => configuration |= base.starts_with("configurations.") && base.ends_with("Configuration"),
                _ => {}
            }
        }
        let outside: Vec<Assignment> = std::mem::take(&mut self.module.assignments);
        let conditional = std::mem::take(&mut self.conditional);
        self.frames.push(Frame::new());
        self.block(body);
        names.extend(self.frames.pop().unwrap_or_default());
        self.conditional = conditional;
        let assignments = std::mem::replace(&mut self.module.assignments, outside);
        let class = Rc::new(Class { name: name.clone(), configuration, names: names.into_iter().collect() });
        if configuration {
            self.module.classes.push(Configured { class: class.clone(), assignments });
        }
        self.set(&name, Value::new(Kind::Class(class), at));
    }

    /// Whether an expression reads this name.
    fn mentions(&mut self, node: Node<'_>, name: &str) -> bool {
        let text = self.text(node);
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let steps = text.len() / 64;
        let found =
            text.match_indices(name).any(|(at, _)| !text[..at].ends_with(word) && !text[at + name.len()..].starts_with(word));
        self.spend(steps);
        found
    }

    /// A tuple without brackets, as `a, b` is one.
    pub fn bare(items: Rc<[Value]>) -> Kind {
        Kind::Tuple(items, Brackets::Bare)
    }
}

/// A text that a list is extended by: its characters.
fn letters(added: Value) -> Value {
    added.map(|value| match &value.kind {
        Kind::Str(text) if text.text.is_empty() => value.clone(),
        Kind::Str(_) => Value::items(Kind::List, vec![Value::new(Kind::Rest(Some(Listed::Letters)), value.at)], value.at),
        _ => value.clone(),
    })
}

/// A list after `.remove(gone)`.
fn without(before: &Value, gone: &Value, at: Place) -> Value {
    before.map(|list| match (&list.kind, gone.as_str()) {
        (Kind::List(items), Some(gone)) if items.iter().all(|item| item.as_str().is_some()) => {
            let mut items = items.to_vec();
            if let Some(found) = items.iter().position(|item| item.as_str() == Some(gone)) {
                items.remove(found);
            }
            Value::items(Kind::List, items, at)
        }
        _ => Value::unknown(at),
    })
}

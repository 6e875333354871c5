//! `${VAR}`, `${VAR:-default}` and `$$` inside one scalar.
//!
//! Works on text that YAML has already read, so what a variable holds never becomes structure. A dollar before anything
//! but `{` or `$` is a dollar: JSON paths and regular expressions are full of them.

use std::borrow::Cow;
use std::ops::Range;

/// Looks up a variable.
pub(super) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Defaults inside defaults, at most.
const MAX_DEPTH: usize = 8;

/// Why a text can't be expanded, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExpandError {
    pub at: Range<usize>,
    pub kind: ExpandErrorKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ExpandErrorKind {
    /// No such variable, and no default.
    Undefined(String),
    Unterminated,
    /// Not a name of letters, digits and underscores.
    Name,
    /// Something but `:-` or `}` after the name.
    Operator,
    TooDeep,
}

/// Replaces the variables of `text`; borrowed when there is none.
///
/// # Errors
/// The first variable that can't be replaced.
pub(super) fn expand<'t>(text: &'t str, env: Env<'_>) -> Result<Cow<'t, str>, ExpandError> {
    if !text.contains("${") && !text.contains("$$") {
        return Ok(Cow::Borrowed(text));
    }
    let mut expander = Expander { text, at: 0, env };
    Ok(Cow::Owned(expander.run(0)?))
}

struct Expander<'a> {
    text: &'a str,
    at: usize,
    env: Env<'a>,
}

impl Expander<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    /// Expands up to the end, or inside a default up to the brace that closes it.
    fn run(&mut self, depth: usize) -> Result<String, ExpandError> {
        let mut out = String::new();
        loop {
            let start = self.at;
            if self.eat("$$") {
                out.push('$');
            } else if self.eat("${") {
                out.push_str(&self.variable(start, depth)?);
            } else if depth > 0 && self.rest().starts_with('}') {
                return Ok(out);
            } else if let Some(c) = self.rest().chars().next() {
                out.push(c);
                self.at += c.len_utf8();
            } else {
                return Ok(out);
            }
        }
    }

    /// What stands for a variable; `start` is where its `${` was.
    fn variable(&mut self, start: usize, depth: usize) -> Result<String, ExpandError> {
        let name: String = self.rest().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        self.at += name.len();
        let fail = |end: usize, kind| Err(ExpandError { at: start..end, kind });
        if depth >= MAX_DEPTH {
            return fail(self.at, ExpandErrorKind::TooDeep);
        }
        if self.rest().is_empty() {
            return fail(self.at, ExpandErrorKind::Unterminated);
        }
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return fail(self.at, ExpandErrorKind::Name);
        }
        let value = (self.env)(&name);
        if self.eat("}") {
            let at = start..self.at;
            return value.ok_or(ExpandError { at, kind: ExpandErrorKind::Undefined(name) });
        }
        if !self.eat(":-") {
            let kind = if self.rest().contains('}') { ExpandErrorKind::Operator } else { ExpandErrorKind::Unterminated };
            return fail(self.at, kind);
        }
        let default = self.run(depth + 1)?;
        if !self.eat("}") {
            return fail(self.at, ExpandErrorKind::Unterminated);
        }
        // As in a shell: `:-` also stands in for a variable that is set to nothing.
        Ok(value.filter(|value| !value.is_empty()).unwrap_or(default))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("example.com".into()),
            "EMPTY" => Some(String::new()),
            "TRICKY" => Some("${HOST} a: b".into()),
            _ => None,
        }
    }

    fn ok(text: &str) -> String {
        expand(text, &env).unwrap().into_owned()
    }

    fn error(text: &str) -> (Range<usize>, ExpandErrorKind) {
        let error = expand(text, &env).unwrap_err();
        (error.at, error.kind)
    }

    #[test]
    fn variables_and_defaults_expand() {
        assert_eq!(ok("wss://${HOST}/ws"), "wss://example.com/ws");
        assert_eq!(ok("${NOPE:-fallback}"), "fallback");
        assert_eq!(ok("${HOST:-fallback}"), "example.com");
        assert_eq!(ok("${NOPE:-}"), "");
        assert_eq!(ok("${NOPE:-${ALSO_NOT:-é}}!"), "é!");
    }

    #[test]
    fn a_default_stands_in_for_an_empty_variable_too() {
        assert_eq!(ok("${EMPTY:-x}"), "x");
        assert_eq!(ok("[${EMPTY}]"), "[]");
    }

    #[test]
    fn a_dollar_is_a_dollar_unless_a_brace_or_a_dollar_follows() {
        assert_eq!(ok("$.status"), "$.status");
        assert_eq!(ok("^ok$"), "^ok$");
        assert_eq!(ok("$$"), "$");
        assert_eq!(ok("$${HOST}"), "${HOST}");
        assert_eq!(ok("$HOST"), "$HOST");
    }

    #[test]
    fn what_a_variable_holds_is_not_expanded_again() {
        assert_eq!(ok("${TRICKY}"), "${HOST} a: b");
    }

    #[test]
    fn mistakes_say_where_they_are() {
        assert_eq!(error("a ${NOPE} b"), (2..9, ExpandErrorKind::Undefined("NOPE".into())));
        assert_eq!(error("a ${HOST"), (2..8, ExpandErrorKind::Unterminated));
        assert_eq!(error("${HOST:-x"), (0..9, ExpandErrorKind::Unterminated));
        assert_eq!(error("${}"), (0..2, ExpandErrorKind::Name));
        assert_eq!(error("${1X}"), (0..4, ExpandErrorKind::Name));
        assert_eq!(error("${HOST:?no}"), (0..6, ExpandErrorKind::Operator));
        assert_eq!(error(&"${A:-".repeat(30)).1, ExpandErrorKind::TooDeep);
    }
}

//! Python source as a tree: decoded as Python would, parsed without being run, within fixed bounds.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use tree_sitter::{Node, ParseOptions, Parser, Tree};

use crate::source::{Source, Span};

/// Larger files are not read: the largest settings known have half of this, and reading must stay quick.
pub const LARGEST_FILE: u64 = 512 << 10;

/// Calls of the parser's progress callback before it is stopped, one for about a hundred steps. Real Python takes one for each
/// 220 bytes, and for 50 where it is all numbers and brackets; only what is none takes more, and much more time for each.
const MOST_STEPS: usize = 4000;
const BYTES_PER_STEP: usize = 40;

/// Lines of nothing but a comment, or a backslash, that may follow each other. The grammar's scanner looks over all of them
/// anew at each, so that a file of 20 000 would take minutes.
const MOST_COMMENTS: usize = 100;

/// Brackets nest at most this deep in Python (MAXLEVEL of its tokenizer). To parse what nests deeper takes seconds.
const DEEPEST_BRACKETS: usize = 200;

/// A file that was read, or why its text can't be trusted.
pub struct Python {
    pub source: Source,
    /// `None`: it can't be read as text, or not in reasonable time.
    pub tree: Option<Tree>,
    pub trouble: Option<Trouble>,
}

/// Why a file, or a part of it, was not understood.
pub enum Trouble {
    /// The first place that is no Python.
    Syntax(Span),
    /// The bytes are not the text that they claim to be; why.
    Encoding(String),
    /// Too large, or too strange to be parsed in reasonable time.
    TooMuch(String),
}

impl Python {
    /// Decodes and parses.
    pub fn new(path: PathBuf, bytes: &[u8]) -> Self {
        if bytes.len() as u64 > LARGEST_FILE {
            return Python::opaque(path, Trouble::TooMuch(format!("it is larger than {} KiB", LARGEST_FILE >> 10)));
        }
        match decode(bytes) {
            Ok(text) if nests_too_deep(text.as_bytes()) => {
                let why = format!("its brackets nest deeper than {DEEPEST_BRACKETS}, which Python refuses");
                Python::opaque(path, Trouble::TooMuch(why))
            }
            Ok(text) => Python::parse(&path, &with_newlines(text)),
            Err(why) => Python::opaque(path, Trouble::Encoding(why)),
        }
    }

    fn opaque(path: PathBuf, trouble: Trouble) -> Self {
        Python { source: Source::new(&path, ""), tree: None, trouble: Some(trouble) }
    }

    fn parse(path: &Path, text: &str) -> Self {
        let source = Source::new(path, text);
        let mut parser = Parser::new();
        let most = MOST_STEPS.max(text.len() / BYTES_PER_STEP);
        let mut steps = 0;
        let mut stop = |_: &tree_sitter::ParseState| {
            steps += 1;
            if steps > most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let bytes = without_long_comments(&source.text);
        let tree = parser.set_language(&tree_sitter_python::LANGUAGE.into()).ok().and_then(|()| {
            let options = ParseOptions::new().progress_callback(&mut stop);
            parser.parse_with_options(&mut |at, _| bytes.get(at..).unwrap_or_default(), None, Some(options))
        });
        let trouble = match &tree {
            None => Some(Trouble::TooMuch("it can't be parsed in reasonable time".to_owned())),
            Some(tree) => {
                first_error(tree.root_node()).or_else(|| python_two(tree.root_node(), &source.text)).map(Trouble::Syntax)
            }
        };
        Python { source, tree, trouble }
    }
}

/// Whether brackets that are neither in a string nor in a comment nest deeper than Python takes.
fn nests_too_deep(text: &[u8]) -> bool {
    let (mut depth, mut at) = (0usize, 0);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'#' => at += text[at..].iter().take_while(|b| **b != b'\n').count(),
            b'"' | b'\'' => at = end_of_string(text, at),
            _ => {}
        }
        if depth > DEEPEST_BRACKETS {
            return true;
        }
        at += 1;
    }
    false
}

/// Where the string that begins here has its last quote, or its line ends without one.
fn end_of_string(text: &[u8], start: usize) -> usize {
    let quote = text[start];
    let triple = [quote; 3];
    let long = text[start..].starts_with(&triple);
    let mut at = start + if long { 3 } else { 1 };
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\\' => at += 1,
            b'\n' if !long => return at,
            _ if long && text[at..].starts_with(&triple) => return at + 2,
            _ if !long && byte == quote => return at,
            _ => {}
        }
        at += 1;
    }
    at
}

/// The text with long runs of comments made blank; nothing in it moves.
fn without_long_comments(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    let (mut run, mut start, mut at) = (0, 0, 0);
    for line in text.split_inclusive('\n').chain([""]) {
        let bare = line.trim();
        match bare.is_empty() && !line.is_empty() || bare.starts_with('#') || bare == "\\" {
            true => run += 1,
            false => {
                if run > MOST_COMMENTS {
                    bytes[start..at].iter_mut().filter(|b| !matches!(b, b'\n' | b'\r')).for_each(|b| *b = b' ');
                }
                (run, start) = (0, at + line.len());
            }
        }
        at += line.len();
    }
    bytes
}

/// The text with `\r` alone, which ends a line too, made `\n`; nothing in it moves.
fn with_newlines(text: String) -> String {
    match text.replace("\r\n", "").contains('\r') {
        true => text.replace("\r\n", "\0").replace('\r', "\n").replace('\0', "\r\n"),
        false => text,
    }
}

/// The bytes of a node.
pub fn span(node: Node<'_>) -> Span {
    Span::new(node.start_byte(), node.end_byte())
}

/// The first place in the text that the parser had to skip or make up.
fn first_error(root: Node<'_>) -> Option<Span> {
    let mut cursor = root.walk();
    if !root.has_error() {
        return None;
    }
    loop {
        let node = cursor.node();
        if node.is_error() || node.is_missing() {
            return Some(span(node));
        }
        if node.has_error() && cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return Some(span(root));
            }
        }
    }
}

/// The first `print "…"` or `exec "…"`, which the grammar takes and Python 3 does not. `print >>file, "…"` is an expression to it.
fn python_two(root: Node<'_>, text: &str) -> Option<Span> {
    if !["print ", "exec "].iter().any(|word| text.contains(word)) {
        return None;
    }
    let mut cursor = root.walk();
    loop {
        let node = cursor.node();
        let chevron = || node.named_child(0).is_some_and(|child| child.kind() == "chevron");
        if node.kind() == "exec_statement" || node.kind() == "print_statement" && !chevron() {
            return Some(span(node));
        }
        if cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return None;
            }
        }
    }
}

/// The text of a source as Python reads it (PEP 263): a byte order mark, a coding cookie in the first two lines, else UTF-8.
fn decode(bytes: &[u8]) -> Result<String, String> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("it is UTF-16, which Python does not read".to_owned());
    }
    if bytes.contains(&0) {
        return Err("it holds a NUL byte, which Python refuses".to_owned());
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let cookie = cookie(bytes).map(|name| name.to_ascii_lowercase().replace('_', "-"));
    let single_byte = |c: &u8| char::from(*c);
    match cookie.as_deref() {
        None | Some("utf-8" | "utf8" | "utf-8-sig" | "u8") => String::from_utf8(bytes.to_vec()).map_err(|error| {
            let line = bytes[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
            format!("line {line} is not UTF-8, and no other coding is declared")
        }),
        Some("ascii" | "us-ascii") if !bytes.is_ascii() => Err("it declares to be ASCII and is not".to_owned()),
        Some("latin-1" | "latin1" | "iso-8859-1" | "iso8859-1" | "l1" | "8859") => Ok(bytes.iter().map(single_byte).collect()),
        // Any other coding of the wild agrees with ASCII where it matters here: names and values of settings.
        Some(_) => Ok(bytes.iter().map(|c| if c.is_ascii() { single_byte(c) } else { char::REPLACEMENT_CHARACTER }).collect()),
    }
}

/// The coding that a comment in the first two lines declares.
fn cookie(bytes: &[u8]) -> Option<String> {
    let mut lines = bytes.split(|b| *b == b'\n').take(2);
    lines.find_map(|line| {
        let line = String::from_utf8_lossy(line);
        let comment = line.trim_start_matches([' ', '\t', '\x0c']).strip_prefix('#')?;
        let (_, after) = comment.split_once("coding")?;
        let name = after.strip_prefix([':', '='])?.trim_start_matches([' ', '\t']);
        let end = name.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))).unwrap_or(name.len());
        Some(name[..end].to_owned()).filter(|name| !name.is_empty())
    })
}

/// The value of a string literal's body: escapes resolved unless it is raw.
pub fn unescape(body: &str, raw: bool) -> String {
    if raw || !body.contains('\\') {
        return body.to_owned();
    }
    let mut text = String::with_capacity(body.len());
    let mut rest = body.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        let code = |rest: &mut std::str::Chars<'_>, digits: usize| {
            let hex: String = rest.clone().take(digits).collect();
            let code = u32::from_str_radix(&hex, 16).ok().filter(|_| hex.len() == digits).and_then(char::from_u32);
            if code.is_some() {
                rest.nth(digits - 1);
            }
            code
        };
        match rest.next() {
            None => text.push('\\'),
            Some('\n') => {}
            Some('\r') => {
                if rest.as_str().starts_with('\n') {
                    rest.next();
                }
            }
            Some('n') => text.push('\n'),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some('a') => text.push('\x07'),
            Some('b') => text.push('\x08'),
            Some('f') => text.push('\x0c'),
            Some('v') => text.push('\x0b'),
            Some(c @ ('\\' | '\'' | '"')) => text.push(c),
            Some('x') => text.extend(code(&mut rest, 2)),
            Some('u') => text.extend(code(&mut rest, 4)),
            Some('U') => text.extend(code(&mut rest, 8)),
            Some(first @ '0'..='7') => {
                let mut value = first as u32 - '0' as u32;
                for _ in 0..2 {
                    match rest.as_str().chars().next() {
                        Some(next @ '0'..='7') => {
                            value = value * 8 + (next as u32 - '0' as u32);
                            rest.next();
                        }
                        _ => break,
                    }
                }
                text.extend(char::from_u32(value));
            }
            Some(other) => text.extend(['\\', other]),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_mean_what_they_mean_in_python() {
        for (body, value) in [
            (r"a\x41\u00e9", "aAé"),
            (r"\101\0", "A\0"),
            (r"\d\\", r"\d\"),
            ("a\\\nb", "ab"),
            (r"\xg", "g"),
            (r"\U0001F600", "😀"),
        ] {
            assert_eq!(unescape(body, false), value, "{body}");
        }
        assert_eq!(unescape(r"^\d", true), r"^\d");
    }

    #[test]
    fn brackets_are_counted_outside_of_strings_and_comments() {
        assert!(nests_too_deep("X = [".repeat(201).as_bytes()) && !nests_too_deep("X = [".repeat(200).as_bytes()));
        let many = "(".repeat(300);
        for good in [
            format!("X = '{many}'"),
            format!("X = \"\"\"\n\"{many}\n\"\"\""),
            format!("# {many}\n"),
            format!("X = '\\'{many}'"),
            format!("X = ''\nY = r\"{many}\" # '\n"),
            "X = [()]\n".repeat(500),
        ] {
            assert!(!nests_too_deep(good.as_bytes()), "{good}");
        }
        assert!(nests_too_deep(format!("X = 'a' {many}").as_bytes()));
        assert!(nests_too_deep(format!("X = 'never closed\n{many}").as_bytes()));
    }

    #[test]
    fn long_runs_of_comments_are_made_blank_and_short_ones_stay() {
        let long = format!("A = 1\n{}B = 2\n# é\n", "# é\n\n".repeat(200));
        let blank = String::from_utf8(without_long_comments(&long)).unwrap();
        assert_eq!(blank.len(), long.len());
        assert!(blank.starts_with("A = 1\n    \n\n") && blank.ends_with("\n\nB = 2\n# é\n"), "{blank}");
        assert!(!String::from_utf8(without_long_comments(&"# x\n".repeat(200))).unwrap().contains('#'), "at the end too");
    }

    #[test]
    fn the_text_is_decoded_as_python_does() {
        assert_eq!(decode(b"\xef\xbb\xbfX = 1").unwrap(), "X = 1");
        assert_eq!(with_newlines("A\rB\r\nC\n".to_owned()), "A\nB\r\nC\n", "a line may end as on an old Macintosh");
        assert_eq!(decode(b"# -*- coding: latin-1 -*-\n# \xe9").unwrap(), "# -*- coding: latin-1 -*-\n# é");
        assert!(decode(b"#!/usr/bin/python\n# vim: set fileencoding=koi8-r :\n#\xc1").unwrap().ends_with(":\n#\u{fffd}"));
        assert!(
            decode(b"\n\n# coding: latin-1\n# \xe9").unwrap_err().contains("line 4 is not UTF-8"),
            "the third line counts no more"
        );
        assert!(decode(b"\xff\xfeX\0").unwrap_err().contains("UTF-16"));
        assert!(decode(b"X = '\0'").unwrap_err().contains("NUL"));
        assert!(decode(b"# coding: ascii\n# \xe9").unwrap_err().contains("ASCII"));
    }
}

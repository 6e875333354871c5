//! `# wsprobe: ignore[RULE, …]` on the first or last line of a statement mutes these rules there.

use std::collections::HashSet;

use tree_sitter::Node;

use super::catalog::{IGN001, rule};
use super::finding::Finding;
use super::modules::Modules;
use super::python;
use super::rules::python as quoted;
use super::value::Place;
use crate::source::{Source, Span};

/// What a comment begins with; a blank may stand before the second.
const MARK: [&str; 2] = ["wsprobe:", "ignore"];

/// One comment.
pub struct Ignore {
    place: Place,
    line: usize,
    /// Ids or names, with where each is written.
    rules: Vec<(String, Place)>,
}

/// Every ignore comment of these files.
pub fn read(modules: &Modules<'_>, texts: &[Source]) -> Vec<Ignore> {
    let mut found = vec![];
    for (id, file) in modules.files() {
        let source = &file.python.source;
        if !source.text.contains(MARK[0]) {
            continue;
        }
        if let Some(tree) = &file.python.tree {
            comments(tree.root_node(), &mut |comment| found.extend(parse(source, id, comment)));
        }
    }
    let files = modules.files().count();
    for (i, source) in texts.iter().enumerate().filter(|(_, source)| source.text.contains(MARK[0])) {
        for line in 0..source.line_count() {
            let span = source.line(line);
            if let Some(hash) = source.slice(span).find('#') {
                found.extend(parse(source, files + i, Span::new(span.start + hash, span.end)));
            }
        }
    }
    found
}

/// Calls `each` for every comment of the tree. No recursion: a tree may be deep.
fn comments(root: Node<'_>, each: &mut impl FnMut(Span)) {
    let mut cursor = root.walk();
    loop {
        if cursor.node().kind() == "comment" {
            each(python::span(cursor.node()));
        }
        if cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return;
            }
        }
    }
}

fn parse(source: &Source, file: usize, comment: Span) -> Option<Ignore> {
    let text = source.slice(comment);
    let (_, after) = text.split_once(MARK[0])?;
    let list = after
        .trim_start()
        .strip_prefix(MARK[1])?
        .trim_start()
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
        .map_or("", |(list, _)| list);
    let offset = |part: &str| comment.start + (part.as_ptr() as usize - text.as_ptr() as usize);
    let rules = list.split(',').map(str::trim).filter(|part| !part.is_empty());
    let rules = rules.map(|part| (part.to_owned(), Place { file, span: Span::new(offset(part), offset(part) + part.len()) }));
    Some(Ignore { place: Place { file, span: comment }, line: source.line_of(comment.start), rules: rules.collect() })
}

/// Takes out what is muted; with `strict`, adds what the comments themselves do wrong.
pub fn apply(
    modules: &Modules<'_>,
    texts: &[Source],
    ignores: Vec<Ignore>,
    findings: Vec<Finding>,
    strict: bool,
    given: &HashSet<usize>,
) -> Vec<Finding> {
    let mut used: HashSet<Place> = HashSet::new();
    let mut kept = vec![];
    for finding in findings {
        let mut here: Vec<&Ignore> = ignores.iter().filter(|ignore| ignore.place.file == finding.place.file).collect();
        if !here.is_empty() {
            let lines = lines(modules, texts, finding.place);
            here.retain(|ignore| lines.contains(&ignore.line));
        }
        let muting = here
            .into_iter()
            .flat_map(|ignore| &ignore.rules)
            .find(|(name, _)| name.eq_ignore_ascii_case(finding.rule.id) || *name == finding.rule.name);
        match muting {
            Some((_, place)) => {
                used.insert(*place);
            }
            None => kept.push(finding),
        }
    }
    if strict {
        let files = modules.files().count();
        for ignore in ignores.iter().filter(|ignore| ignore.place.file >= files || given.contains(&ignore.place.file)) {
            if ignore.rules.is_empty() {
                let help = "write `# wsprobe: ignore[PSH005]`";
                kept.push(Finding::new(&IGN001, ignore.place, "this ignore names no rule, and mutes nothing").help(help));
            }
            for (name, place) in ignore.rules.iter().filter(|(_, place)| !used.contains(place)) {
                let known = rule(name).is_some() || super::RULES.iter().any(|rule| rule.name == *name);
                let message = match known {
                    true => format!("{name} finds nothing here"),
                    false => format!("there is no rule {}", quoted(name)),
                };
                kept.push(Finding::new(&IGN001, *place, message).help("take it out of the comment"));
            }
        }
    }
    kept
}

/// The lines on which a comment mutes a finding: the first and last of its statement.
fn lines(modules: &Modules<'_>, texts: &[Source], place: Place) -> Vec<usize> {
    let files = modules.files().count();
    if place.file >= files {
        return vec![texts[place.file - files].line_of(place.span.start)];
    }
    let python = &modules.file(place.file).python;
    let first = python.source.line_of(place.span.start);
    let Some(mut node) =
        python.tree.as_ref().and_then(|t| t.root_node().descendant_for_byte_range(place.span.start, place.span.end))
    else {
        return vec![first];
    };
    while let Some(parent) = node.parent().filter(|parent| !matches!(parent.kind(), "module" | "block")) {
        node = parent;
    }
    let start = python.source.line_of(node.start_byte());
    match node.child_by_field_name("body").is_some() || node.child_by_field_name("consequence").is_some() {
        true => vec![start, first], // not the end of a whole `if` or class
        false => vec![start, first, python.source.line_of(node.end_byte())],
    }
}

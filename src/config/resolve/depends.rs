//! `depends_on`: whose failure explains that of a target.

use std::collections::{BTreeMap, BTreeSet};

use super::super::diagnostic::{Code, Draft};
use super::super::read::{Reader, Value};
use super::super::source::Spanned;
use super::super::text::quoted;
use super::targets::Targets;
use crate::outcome::TargetName;

const EXAMPLE: &str = "depends_on: [edge]";

/// Reads the names; whether there are such targets is known once all are read.
pub(super) fn read(value: &Value<'_>) -> Vec<Spanned<String>> {
    value.list("a target of `depends_on`", EXAMPLE).unwrap_or_default().iter().filter_map(|item| item.word(EXAMPLE)).collect()
}

/// The names that there are, each once.
pub(super) fn names(written: &[Spanned<String>]) -> Vec<TargetName> {
    let mut names: Vec<TargetName> = vec![];
    for name in written.iter().filter_map(|name| TargetName::new(&name.value)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Reports names that no target has. True when there are none.
pub(super) fn check_names(reader: &Reader<'_>, targets: &Targets, written: &[Spanned<String>]) -> bool {
    // each is looked at, so that each mistake is reported
    written.iter().filter(|name| !targets.names.check(reader, name, "target")).count() == 0
}

/// Reports targets that depend on themselves, over others, too. `written` stands in the file of this reader.
pub(super) fn check_circles(reader: &Reader<'_>, targets: &Targets, written: &[Spanned<String>]) {
    let edges: BTreeMap<&str, &[TargetName]> =
        targets.targets.iter().map(|target| (target.name.as_str(), target.depends_on.as_slice())).collect();
    let mut done = BTreeSet::new();
    let Some(circle) = targets.targets.iter().find_map(|target| circle(target.name.as_str(), &edges, &mut done)) else { return };
    let shown = circle.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(" → ");
    let message = format!("targets depend on each other in a circle: {shown}");
    let draft = match written.iter().find(|written| circle.contains(&written.value.as_str())) {
        Some(written) => Draft::new(Code::Conflict, written.span, message),
        None => Draft::of_file(Code::Conflict, message),
    };
    reader.report(draft.help("remove one of these `depends_on`: if all of them failed, nobody would be told"));
}

/// A way from this target back to itself, or to another that is in a circle. Not recursive: the way may be long.
fn circle<'a>(start: &'a str, edges: &BTreeMap<&'a str, &'a [TargetName]>, done: &mut BTreeSet<&'a str>) -> Option<Vec<&'a str>> {
    let next = |name: &str| edges.get(name).copied().unwrap_or_default().iter();
    let mut way = vec![(start, next(start))];
    while let Some((here, rest)) = way.last_mut() {
        let here = *here;
        match rest.next() {
            Some(name) if done.contains(name.as_str()) => {}
            Some(name) => {
                let (name, _) = edges.get_key_value(name.as_str())?;
                if let Some(at) = way.iter().position(|(other, _)| other == name) {
                    return Some(way.iter().skip(at).map(|(name, _)| *name).chain([*name]).collect());
                }
                way.push((name, next(name)));
            }
            None => {
                done.insert(here);
                way.pop();
            }
        }
    }
    None
}

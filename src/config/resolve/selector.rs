//! Which targets something is about: names, or labels.

use std::collections::BTreeMap;

use super::super::diagnostic::{Code, Draft};
use super::super::policy::{Match, Selector};
use super::super::read::{Reader, Value};
use super::super::text::quoted;
use super::targets::Targets;
use crate::outcome::TargetName;

/// Reads `targets` of a rule or window, whose items are `item` when spoken of. An empty list is a mistake: `pointless` says
/// what would come of it, `everything` what removing it does.
pub(super) fn read(
    reader: &Reader<'_>,
    targets: &Targets,
    value: &Value<'_>,
    item: &str,
    (pointless, everything): (&str, &str),
) -> Option<Selector> {
    let items = value.list(item, "targets: [prod, {env: staging}]")?;
    if items.is_empty() {
        value.reject(&format!("is empty: {pointless}"), everything);
        return None;
    }
    let matches: Vec<Option<Match>> = items.iter().map(|item| matching(reader, targets, item)).collect();
    matches.into_iter().collect::<Option<Vec<_>>>().map(Selector::Any)
}

fn matching(reader: &Reader<'_>, targets: &Targets, item: &Value<'_>) -> Option<Match> {
    if !item.is_mapping() {
        let name = item.word("targets: [prod, {env: staging}]")?;
        let known = targets.names.check(reader, &name, "target");
        return known.then(|| TargetName::new(&name.value).map(Match::Name))?;
    }
    let mut labels = BTreeMap::new();
    for (key, value) in item.entries("{env: prod}")? {
        labels.insert(key.value.to_owned(), value.text("{env: prod}")?.value);
    }
    let matching = Match::Labels(labels);
    let selector = Selector::Any(vec![matching.clone()]);
    // Targets with mistakes have labels too, and those of files come and go: judge only when all are known.
    if targets.complete && targets.files.is_empty() && !targets.targets.iter().any(|target| selector.selects(target)) {
        let message = "no target has these labels";
        reader.report(Draft::new(Code::UnknownName, item.span(), message).help(known_labels(targets)));
        return None;
    }
    Some(matching)
}

fn known_labels(targets: &Targets) -> String {
    let mut known: Vec<String> =
        targets.targets.iter().flat_map(|target| target.labels.iter().map(|(k, v)| format!("{k}: {v}"))).collect();
    known.sort();
    known.dedup();
    match known.len() {
        0 => "no target has any labels".to_owned(),
        1..=8 => format!("the labels are {}", known.iter().map(|label| quoted(label)).collect::<Vec<_>>().join(", ")),
        n => format!("none of the {n} labels of all targets fits"),
    }
}

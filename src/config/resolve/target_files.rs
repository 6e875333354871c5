//! `target_files`: more lists of targets, each in a file of its own.

use super::super::diagnostic::{Code, Draft};
use super::super::mask::Masks;
use super::super::raw::{self, Node};
use super::super::read::{Reader, Value};
use super::super::source::Source;
use super::super::target_files::{Print, TargetFiles, matches, whole};
use super::super::text::quoted;
use super::text_of;

const EXAMPLE: &str = "target_files: [\"targets.d/*.yaml\"]";

/// One of the files.
pub(super) struct Listed {
    pub source: Source,
    /// `None`: it could not be read as YAML.
    pub root: Option<Node>,
    /// Whether nothing had to be left out of the tree.
    whole: bool,
}

impl Listed {
    /// Its secrets.
    pub fn masks(&self) -> Masks {
        match &self.root {
            Some(root) => Masks::of_tree_or_lines(&self.source, root, self.whole),
            None => Masks::of_lines(&self.source),
        }
    }
}

/// Finds and reads the files. What is wrong with them is reported.
pub(super) fn read(reader: &Reader<'_>, value: Option<&Value<'_>>) -> (TargetFiles, Vec<Listed>) {
    let (mut patterns, mut listed, mut print) = (vec![], vec![], Print::default());
    let items = value.and_then(|value| value.list("a pattern of `target_files`", EXAMPLE)).unwrap_or_default();
    let mut end = reader.source.end();
    for item in items {
        let Some(pattern) = item.word(EXAMPLE) else { continue };
        let pattern = whole(reader.source.folder(), &pattern.value);
        match matches(&pattern) {
            Ok(paths) => {
                for path in paths {
                    let text = match text_of(&path) {
                        Ok(text) => text,
                        Err(draft) => {
                            reader.report(draft.or_at(item.span()));
                            continue;
                        }
                    };
                    print.add(&path, text.as_bytes());
                    let source = Source::at(end, &path, &text);
                    end = source.end();
                    listed.push(parse(reader, &item, source));
                }
            }
            Err(problem) => item.reject(&problem, "`*` is any name or part of one, `**` any folders in between"),
        }
        patterns.push(pattern);
    }
    (TargetFiles::new(patterns, print), listed)
}

fn parse(reader: &Reader<'_>, pattern: &Value<'_>, source: Source) -> Listed {
    let mut mistakes = vec![];
    let root = raw::parse(&source, &mut mistakes);
    let whole = mistakes.is_empty();
    mistakes.into_iter().for_each(|mistake| reader.report(mistake));
    let root = match root {
        Ok(root) => Some(root),
        Err(fatal) if fatal.has_place() => {
            reader.report(fatal);
            None
        }
        Err(_) => {
            let message = format!("{} is empty", quoted(&source.path.to_string_lossy()));
            reader.report(
                Draft::new(Code::MissingKey, pattern.span(), message).help("a file without targets is `[]`; or remove the file"),
            );
            None
        }
    };
    Listed { source, root, whole }
}

//! What is wrong with a configuration, where, and what to do about it.
//!
//! While a file is read, mistakes gather as drafts that know only byte offsets. A [`Report`] gives them lines and columns,
//! sorts them, and draws them as rustc does. It holds the text of the file for that, and which parts of it are secrets:
//! those are never drawn.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::mask::Masks;
pub use super::source::Location;
use super::source::{Source, Span};

/// The kind of a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The file itself, or one that it names, can't be read.
    UnreadableFile,
    /// Not YAML, or a part of YAML that has no meaning here.
    Syntax,
    UnknownKey,
    DuplicateKey,
    MissingKey,
    /// A list where a mapping was expected, and so on.
    WrongType,
    /// Of the right type, but impossible.
    InvalidValue,
    /// Two entries with one name.
    DuplicateName,
    /// Refers to something that is not there.
    UnknownName,
    /// Two keys, or two values, that can't be meant together.
    Conflict,
    UndefinedVariable,
    /// Right, but this version does not do it.
    NotAvailable,
}

impl Code {
    /// The word shown in brackets.
    pub const fn as_str(self) -> &'static str {
        match self {
            Code::UnreadableFile => "unreadable-file",
            Code::Syntax => "syntax",
            Code::UnknownKey => "unknown-key",
            Code::DuplicateKey => "duplicate-key",
            Code::MissingKey => "missing-key",
            Code::WrongType => "wrong-type",
            Code::InvalidValue => "invalid-value",
            Code::DuplicateName => "duplicate-name",
            Code::UnknownName => "unknown-name",
            Code::Conflict => "conflict",
            Code::UndefinedVariable => "undefined-variable",
            Code::NotAvailable => "not-available",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One mistake.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    pub code: Code,
    /// What is wrong, in one line that stands by itself. Never holds a secret.
    pub message: String,
    pub file: PathBuf,
    /// `None`: the mistake is the file itself.
    pub location: Option<Location>,
    /// A second place that matters, and what it is.
    pub secondary: Option<(Location, String)>,
    /// What to do about it, one remedy each.
    pub help: Vec<String>,
    draft: Draft,
}

/// A mistake that knows its place only as an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Draft {
    code: Code,
    message: String,
    span: Option<Span>,
    secondary: Option<(Span, String)>,
    help: Vec<String>,
}

impl Draft {
    pub fn new(code: Code, span: Span, message: impl Into<String>) -> Self {
        Draft { code, message: message.into(), span: Some(span), secondary: None, help: vec![] }
    }

    /// A mistake that is the file itself.
    pub fn of_file(code: Code, message: impl Into<String>) -> Self {
        Draft { code, message: message.into(), span: None, secondary: None, help: vec![] }
    }

    /// A second place that matters.
    pub fn see(mut self, span: Span, label: impl Into<String>) -> Self {
        self.secondary = Some((span, label.into()));
        self
    }

    /// Points there when the mistake is a file itself.
    pub fn or_at(mut self, span: Span) -> Self {
        self.span.get_or_insert(span);
        self
    }

    /// Whether it is known where in the file the mistake is.
    pub fn has_place(&self) -> bool {
        self.span.is_some()
    }

    /// What to do about it.
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }
}

/// Every mistake found in one configuration, in the order of their places; never empty.
///
/// `Display` draws all of them without colour.
#[derive(Clone)]
pub struct Report(Box<Findings>);

#[derive(Clone)]
struct Findings {
    /// The configuration file, then those of `target_files`.
    files: Vec<Drawable>,
    diagnostics: Vec<Diagnostic>,
}

#[derive(Clone)]
struct Drawable {
    source: Source,
    masks: Masks,
}

impl Report {
    /// Of these files, the first of which is the configuration file itself.
    pub(super) fn new(files: Vec<(Source, Masks)>, mut drafts: Vec<Draft>) -> Self {
        // What an alias or `defaults` brings into many places is one mistake.
        let mut seen = HashSet::new();
        drafts.retain(|draft| seen.insert((draft.span, draft.message.clone())));
        drafts.sort_by_key(|draft| draft.span.unwrap_or_default());
        let files = files.into_iter().map(|(source, masks)| Drawable { source, masks }).collect();
        let mut findings = Findings { files, diagnostics: vec![] };
        let diagnostic = |draft: Draft| {
            let location = |span: Span| findings.file(span.start).map(|file| file.source.location(span.start));
            let file = findings.file(draft.span.unwrap_or_default().start);
            Diagnostic {
                code: draft.code,
                message: draft.message.clone(),
                file: file.map(|file| file.source.path.clone()).unwrap_or_default(),
                location: draft.span.and_then(location),
                secondary: draft.secondary.as_ref().and_then(|(span, label)| Some((location(*span)?, label.clone()))),
                help: draft.help.clone(),
                draft,
            }
        };
        findings.diagnostics = drafts.into_iter().map(diagnostic).collect();
        Report(Box::new(findings))
    }

    /// The mistakes, in the order of their places.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.0.diagnostics
    }

    /// Draws every mistake, and says at the end how many there are. `color` adds terminal colours.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for diagnostic in &self.0.diagnostics {
            text.push_str(&self.0.draw(diagnostic, &renderer));
            text.push_str("\n\n");
        }
        let mut files: Vec<_> = self.0.diagnostics.iter().map(|diagnostic| &diagnostic.file).collect();
        files.dedup();
        let places = match files.as_slice() {
            [file] => file.display().to_string(),
            files => format!("{} files", files.len()),
        };
        let summary = match self.0.diagnostics.len() {
            1 => format!("1 mistake in {places}"),
            n => format!("{n} mistakes in {places}"),
        };
        text.push_str(&renderer.render(&[Group::with_title(Level::ERROR.primary_title(summary))]));
        // The drawing pads lines; nobody wants to see that in a log or a diff.
        text.lines().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
    }
}

impl Findings {
    /// The file that holds this offset.
    fn file(&self, offset: usize) -> Option<&Drawable> {
        self.files.iter().find(|file| file.source.holds(offset))
    }

    fn draw(&self, diagnostic: &Diagnostic, renderer: &Renderer) -> String {
        let draft = &diagnostic.draft;
        let title = Level::ERROR.primary_title(&*draft.message).id(draft.code.as_str());
        let place = draft.span.and_then(|span| Some((span, self.file(span.start)?)));
        let other = draft
            .secondary
            .as_ref()
            .and_then(|(span, label)| Some(((*span, AnnotationKind::Context, Some(label.as_str())), self.file(span.start)?)));
        let mut group = match (place, other) {
            (None, _) => title.element(Origin::path(diagnostic.file.to_string_lossy())),
            (Some((span, file)), None) => title.element(file.snippet(&[(span, AnnotationKind::Primary, None)])),
            (Some((span, file)), Some((other, beside))) => {
                let primary = (span, AnnotationKind::Primary, None);
                let apart = file.source.line_of(other.0.start).abs_diff(file.source.line_of(span.start));
                match std::ptr::eq(file, beside) && apart <= TOGETHER {
                    true => title.element(file.snippet(&[primary, other])),
                    false => title.element(file.snippet(&[primary])).element(beside.snippet(&[other])),
                }
            }
        };
        for help in &draft.help {
            group = group.element(Level::HELP.message(&**help));
        }
        let drawn = renderer.render(&[group]);
        let places = draft.span.into_iter().chain(draft.secondary.as_ref().map(|(span, _)| *span));
        places.fold(drawn, |drawn, span| match self.file(span.start) {
            Some(file) => file.correct_column(drawn, span),
            None => drawn,
        })
    }
}

impl Drawable {
    /// The lines from the first to the last of these places, with secrets masked. Only those lines are given to the
    /// renderer: it walks all it gets, and a file may be large and have thousands of mistakes.
    fn snippet<'a>(&self, marks: &[Mark<'a>]) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        let lines = marks.iter().map(|(span, ..)| self.source.line_of(span.start));
        let (first, last) = (lines.clone().min().unwrap_or(0), lines.max().unwrap_or(0));
        let excerpt = self.masks.excerpt(&self.source, first, last);
        let annotations = marks.iter().map(|(span, kind, label)| {
            // A value over several lines is shown by its first one.
            let end = span.end.min(self.source.line(self.source.line_of(span.start)).end).max(span.start);
            kind.span(excerpt.map(span.start)..excerpt.map(end)).label(*label)
        });
        let annotations: Vec<_> = annotations.collect();
        let path = self.source.path.to_string_lossy().into_owned();
        Snippet::source(excerpt.text).line_start(first + 1).path(path).annotations(annotations)
    }

    /// The renderer counts columns in the masked text; an editor has to find the place in the file.
    fn correct_column(&self, drawn: String, span: Span) -> String {
        let at = self.source.location(span.start);
        let excerpt = self.masks.excerpt(&self.source, at.line - 1, at.line - 1);
        let column = excerpt.text.get(..excerpt.map(span.start)).unwrap_or_default().chars().count() + 1;
        let place = |column: usize| format!("{}:{}:{column}", self.source.path.display(), at.line);
        if column == at.column {
            drawn
        } else {
            drawn.replacen(&format!("{}\n", place(column)), &format!("{}\n", place(at.column)), 1)
        }
    }
}

type Mark<'a> = (Span, AnnotationKind, Option<&'a str>);

/// Two places at most this many lines apart are drawn in one excerpt.
const TOGETHER: usize = 40;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// As `Display`: the text of the file may hold secrets.
impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Report {}

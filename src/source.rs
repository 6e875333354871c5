//! The text of a file that is read for mistakes, and where in it an offset is: what `config` and `lint` point at.

use std::path::{Path, PathBuf};

/// A range of bytes of the text. The files of one configuration follow each other on one line of numbers, so that a span says
/// which file it is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    pub fn new(start: usize, end: usize) -> Self {
        Span { start, end: end.max(start) }
    }
}

/// A value, and where it was written.
#[derive(Clone, Debug)]
pub struct Spanned<T> {
    pub value: T,
    pub span: Span,
}

/// A place in a file as editors count it: both from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    pub line: usize,
    pub column: usize,
}

/// The text of one file, without a byte order mark.
#[derive(Clone, Debug)]
pub struct Source {
    pub path: PathBuf,
    pub text: String,
    /// Offset of the first byte of each line.
    starts: Vec<usize>,
    ascii: bool,
    /// Offset of its first byte.
    base: usize,
}

impl Source {
    pub fn new(path: &Path, text: &str) -> Self {
        Source::at(0, path, text)
    }

    /// The file after the others: their ends are below `base`.
    pub fn at(base: usize, path: &Path, text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Source { path: path.to_owned(), ascii: text.is_ascii(), text, starts, base }
    }

    /// Where the next file may begin.
    pub fn end(&self) -> usize {
        self.base + self.text.len() + 1
    }

    /// The place of this range of the text.
    pub fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.base + start, self.base + end)
    }

    /// Whether the offset is in this file.
    pub fn holds(&self, offset: usize) -> bool {
        (self.base..self.end()).contains(&offset)
    }

    pub fn is_ascii(&self) -> bool {
        self.ascii
    }

    /// The folder to which paths in the file are relative.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// The text of a span; empty where the span is not one of this text.
    pub fn slice(&self, span: Span) -> &str {
        let at = |offset: usize| offset.checked_sub(self.base);
        at(span.start).zip(at(span.end)).and_then(|(start, end)| self.text.get(start..end)).unwrap_or_default()
    }

    /// Index of the line that holds this offset, from 0.
    pub fn line_of(&self, offset: usize) -> usize {
        let offset = offset.saturating_sub(self.base);
        self.starts.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    pub fn line_count(&self) -> usize {
        self.starts.len()
    }

    /// The bytes of a line, without its end.
    pub fn line(&self, index: usize) -> Span {
        let start = self.starts.get(index).copied().unwrap_or(self.text.len());
        let end = self.starts.get(index + 1).map_or(self.text.len(), |next| next - 1);
        let text = self.text.get(start..end).unwrap_or_default();
        self.span(start, start + text.trim_end_matches('\r').len())
    }

    pub fn location(&self, offset: usize) -> Location {
        let line = self.line_of(offset);
        let start = self.line(line).start;
        let column = match self.ascii {
            true => offset.saturating_sub(start),
            false => self.slice(Span::new(start, offset)).chars().count(),
        };
        Location { line: line + 1, column: column + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, offset: usize) -> (usize, usize) {
        let place = Source::new(Path::new("x"), text).location(offset);
        (place.line, place.column)
    }

    #[test]
    fn lines_and_columns_count_from_one() {
        assert_eq!(at("a: 1\nb: 2", 0), (1, 1));
        assert_eq!(at("a: 1\nb: 2", 8), (2, 4));
        assert_eq!(at("a: 1\n", 5), (2, 1));
    }

    #[test]
    fn columns_count_characters_and_ignore_the_byte_order_mark() {
        assert_eq!(at("é: x", "é: ".len()), (1, 4));
        assert_eq!(at("\u{feff}a: x", 3), (1, 4));
    }

    #[test]
    fn a_file_after_another_has_lines_and_columns_of_its_own() {
        let first = Source::new(Path::new("x"), "a: 1\n");
        let second = Source::at(first.end(), Path::new("y"), "b: 2\nc: 3");
        let span = second.span(5, 6);
        assert!(second.holds(span.start) && !first.holds(span.start) && !second.holds(4));
        assert_eq!(second.slice(span), "c");
        assert_eq!(first.slice(span), "");
        assert_eq!(second.location(span.start), Location { line: 2, column: 1 });
        assert_eq!(second.slice(second.line(1)), "c: 3");
    }

    #[test]
    fn a_line_ends_before_its_line_break() {
        let source = Source::new(Path::new("x"), "a: 1\r\nb\n");
        assert_eq!(source.slice(source.line(0)), "a: 1");
        assert_eq!(source.slice(source.line(1)), "b");
        assert_eq!(source.slice(source.line(2)), "");
    }
}

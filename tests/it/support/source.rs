//! The repository as text: its files, and Rust sources as tokens. Just enough of a lexer for rules about names and paths.

use std::path::{Path, PathBuf};

/// A file of the repository.
pub struct File {
    /// Relative to the root, with `/`.
    pub path: String,
    pub text: String,
}

/// One token of a Rust source. Comments, strings and characters are left out, lifetimes too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub line: usize,
    /// A whole identifier or number, `::`, or a single character.
    pub text: String,
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file under these folders (or these files), sorted by path. What a build or a tool leaves behind is skipped.
pub fn files(under: &[&str]) -> Vec<File> {
    let mut found = vec![];
    let mut open: Vec<PathBuf> = under.iter().map(|u| root().join(u)).collect();
    while let Some(path) = open.pop() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // `.git` is a file in a work tree
        if matches!(name.as_str(), "target" | ".git" | "__pycache__" | ".venv") {
            continue;
        }
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).expect("list a folder").map(|e| e.expect("an entry").path()));
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            let path = path.strip_prefix(root()).expect("under the root").to_string_lossy().replace('\\', "/");
            found.push(File { path, text });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The Rust sources under these folders.
pub fn rust(under: &[&str]) -> Vec<File> {
    files(under).into_iter().filter(|f| f.path.ends_with(".rs")).collect()
}

/// The tokens of a Rust source.
pub fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let (mut out, mut i, mut line) = (vec![], 0, 1);
    while i < chars.len() {
        let start = i;
        match at(i) {
            '/' if at(i + 1) == '/' => i = skip_line(&chars, i),
            '/' if at(i + 1) == '*' => i = skip_block(&chars, i),
            '"' => i = skip_string(&chars, i),
            'r' | 'b' | 'c' if prefixed_string(&chars, i).is_some() => i = prefixed_string(&chars, i).unwrap_or(i + 1),
            '\'' if at(i + 1) == '\\' => i = (i + 3..chars.len()).find(|&j| at(j) == '\'').unwrap_or(chars.len()) + 1,
            '\'' if at(i + 2) == '\'' => i += 3,
            '\'' => i = skip_word(&chars, i + 1),
            c if c.is_alphanumeric() || c == '_' => i = skip_word(&chars, i),
            ':' if at(i + 1) == ':' => i += 2,
            _ => i += 1,
        }
        let text: String = chars[start..i.min(chars.len())].iter().collect();
        let token = !text.starts_with(['"', '\'', ' ', '\n', '\t', '\r']) && !text.starts_with("//") && !text.starts_with("/*");
        if token && !text.contains('"') {
            out.push(Token { line, text: text.clone() });
        }
        line += text.matches('\n').count();
    }
    out
}

fn skip_word(chars: &[char], from: usize) -> usize {
    (from..chars.len()).find(|&j| !chars[j].is_alphanumeric() && chars[j] != '_').unwrap_or(chars.len())
}

fn skip_line(chars: &[char], from: usize) -> usize {
    (from..chars.len()).find(|&j| chars[j] == '\n').unwrap_or(chars.len())
}

fn skip_block(chars: &[char], from: usize) -> usize {
    let (mut depth, mut i) = (0, from);
    while i + 1 < chars.len() {
        match (chars[i], chars[i + 1]) {
            ('/', '*') => (depth, i) = (depth + 1, i + 2),
            ('*', '/') => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

fn skip_string(chars: &[char], quote: usize) -> usize {
    let mut i = quote + 1;
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    i
}

/// The end of `b"…"`, `c"…"`, `r"…"`, `r#"…"#` or `br#"…"#` starting here, if one does.
fn prefixed_string(chars: &[char], from: usize) -> Option<usize> {
    let letters = chars[from..].iter().take_while(|c| matches!(c, 'r' | 'b' | 'c')).count();
    let raw = chars[from..from + letters].contains(&'r');
    let hashes = chars[from + letters..].iter().take_while(|&&c| c == '#').count();
    let quote = from + letters + hashes;
    if letters > 2 || chars.get(quote) != Some(&'"') || (hashes > 0 && !raw) {
        return None;
    }
    if !raw {
        return Some(skip_string(chars, quote));
    }
    let ends = |&j: &usize| chars[j] == '"' && chars[j + 1..].iter().take_while(|&&c| c == '#').count() >= hashes;
    Some((quote + 1..chars.len()).find(ends).map_or(chars.len(), |j| j + 1 + hashes))
}

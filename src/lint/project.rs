//! Finds and reads what is checked: the one part of `lint` that touches the disk.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::deploy::is_deployment;
use super::modules::{Files, tidy};
use super::python::LARGEST_FILE;
use super::settings::is_named_settings;
use super::{Header, Input, Options, Report, Role};

/// Folders that hold no settings of this project.
const SKIPPED: &[&str] = &[
    "node_modules",
    "site-packages",
    "dist-packages",
    "__pycache__",
    "migrations",
    "venv",
    "env",
    "virtualenv",
    "build",
    "dist",
    "tests",
    "test",
    "docs",
    "doc",
    "locale",
    "static",
    "staticfiles",
    "media",
    "target",
    "vendor",
];
/// Entries that are looked at in one run.
const MOST_ENTRIES: usize = 200_000;
const DEEPEST_FOLDER: usize = 24;
/// Entries of a folder that are looked at for what lies beside a named file.
const MOST_BESIDE: usize = 1000;
/// Larger files of other kinds are not read.
const LARGEST_TEXT: u64 = 256 << 10;

/// Words without one of which no Python file matters here.
static WORDS: LazyLock<Regex> = LazyLock::new(|| {
    let words = "INSTALLED_APPS|MIDDLEWARE|ROOT_URLCONF|SECURE_|secure_|ALLOWED_HOSTS|CSRF_TRUSTED_ORIGINS|ASGI_APPLICATION|CHANNEL_LAYERS|\
                 get_asgi_application|websocket_urlpatterns|URLRouter|WebsocketConsumer";
    Regex::new(words).expect("a constant")
});

/// What can't be checked at all: said to the user, with exit code 2.
pub type Unreadable = String;

/// Reads and checks files and folders.
pub fn check(paths: &[PathBuf], options: &Options) -> Result<Report, Vec<Unreadable>> {
    let mut search = Search::default();
    for path in paths {
        search.start(path);
    }
    search.beside();
    match search.errors.is_empty() {
        true => Ok(super::check(search.inputs, &Disk, options)),
        false => Err(search.errors),
    }
}

/// The file system, as imports see it.
struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        if !fs::metadata(path).ok()?.is_file() {
            return None;
        }
        read(path, LARGEST_FILE).ok()
    }
}

/// The bytes of a file, and one more than the limit when it is longer.
fn read(path: &Path, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![];
    fs::File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[derive(Default)]
struct Search {
    inputs: Vec<Input>,
    errors: Vec<Unreadable>,
    seen: HashSet<PathBuf>,
    entries: usize,
    headers: HashMap<PathBuf, Option<Header>>,
}

impl Search {
    fn start(&mut self, path: &Path) {
        match fs::metadata(path) {
            Err(error) => self.errors.push(format!("{} can't be read: {error}", path.display())),
            Ok(meta) if meta.is_dir() => self.folder(path, 0),
            // a pipe would be waited for
            Ok(meta) if !meta.is_file() => self.errors.push(format!("{} is neither a file nor a folder", path.display())),
            Ok(_) => self.file(path, Role::Named),
        }
    }

    /// What lies beside the named files that matter: pre-commit names only what a commit changes, and settings are rarely one
    /// file alone.
    fn beside(&mut self) {
        let mut folders: Vec<PathBuf> = vec![];
        for input in self.inputs.iter().filter(|input| input.role == Role::Named && may_matter(&input.path, &input.bytes)) {
            let folder = input.path.parent().unwrap_or(Path::new(""));
            let above = folder.parent().filter(|_| folder.file_name().is_some_and(|name| name == "settings"));
            folders.extend([Some(folder), above].into_iter().flatten().map(Path::to_owned));
        }
        folders.sort();
        folders.dedup();
        for folder in folders {
            let Ok(entries) = fs::read_dir(if folder.as_os_str().is_empty() { Path::new(".") } else { &folder }) else {
                continue;
            };
            let mut names: Vec<_> = entries.filter_map(|entry| entry.ok().map(|e| e.file_name())).take(MOST_BESIDE).collect();
            names.sort();
            for name in names {
                let path = folder.join(&name);
                let python = path.extension().is_some_and(|extension| extension == "py");
                if python && is_wanted(&path, &name.to_string_lossy()) && path.is_file() {
                    self.file(&path, Role::Beside);
                }
            }
        }
    }

    fn folder(&mut self, folder: &Path, depth: usize) {
        // a link back to a folder above would lead around for ever
        let real = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
        if depth > DEEPEST_FOLDER || !self.seen.insert(real) {
            return;
        }
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if depth == 0 => return self.errors.push(format!("{} can't be read: {error}", folder.display())),
            Err(_) => return,
        };
        let mut paths: Vec<PathBuf> =
            entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).take(MOST_ENTRIES).collect();
        paths.sort();
        for path in paths {
            self.entries += 1;
            if self.entries > MOST_ENTRIES {
                return;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Ok(meta) = fs::metadata(&path) else { continue }; // a link to nowhere
            if meta.is_dir() {
                let environment = path.join("pyvenv.cfg").exists();
                if !name.starts_with('.') && !environment && !SKIPPED.contains(&name.to_lowercase().as_str()) {
                    self.folder(&path, depth + 1);
                }
            } else if meta.is_file() && is_wanted(&path, &name) {
                self.file(&path, Role::Found);
            }
        }
    }

    fn file(&mut self, path: &Path, role: Role) {
        let named = role == Role::Named;
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if !self.seen.insert(real) {
            return;
        }
        let is_python = path.extension().is_some_and(|extension| extension == "py");
        let bytes = match read(path, if is_python { LARGEST_FILE } else { LARGEST_TEXT }) {
            Ok(bytes) => bytes,
            Err(error) if named => return self.errors.push(format!("{} can't be read: {error}", path.display())),
            Err(_) => return,
        };
        if !named && is_python && !may_matter(path, &bytes) {
            return;
        }
        if !is_python && bytes.len() as u64 > LARGEST_TEXT {
            return;
        }
        let header = if role == Role::Beside { None } else { self.header(path) };
        self.inputs.push(Input { path: tidy(path), bytes, role, header });
    }

    /// What the nearest pyproject.toml that speaks of the header says.
    fn header(&mut self, path: &Path) -> Option<Header> {
        let start = fs::canonicalize(path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))).ok()?;
        if let Some(known) = self.headers.get(&start) {
            return known.clone();
        }
        let said = start.ancestors().find_map(|folder| {
            let file = folder.join("pyproject.toml");
            let text = file.is_file().then(|| read(&file, LARGEST_TEXT).ok()).flatten()?;
            Some((scheme_header(&String::from_utf8_lossy(&text))?, file))
        });
        let header = said.and_then(|(name, file)| match Header::new(&name) {
            Ok(header) => Some(header),
            Err(why) => {
                self.errors.push(format!("{}: tool.wsprobe.scheme_header: {why}", file.display()));
                None
            }
        });
        self.headers.insert(start, header.clone());
        header
    }
}

/// Whether a Python file may have to do with settings or WebSockets, by its name and by words in it.
pub(super) fn may_matter(path: &Path, bytes: &[u8]) -> bool {
    is_named_settings(path) || WORDS.is_match(bytes)
}

/// Whether a file of a folder is looked at: no tests.
fn is_wanted(path: &Path, name: &str) -> bool {
    if path.extension().is_some_and(|extension| extension == "py") {
        let stem = name.trim_end_matches(".py");
        return !(stem.starts_with("test_") || stem.ends_with("_test") || matches!(stem, "tests" | "conftest"));
    }
    is_deployment(path)
}

/// `scheme_header` of `[tool.wsprobe]`: the one key that is read, so that TOML as a whole need not be.
fn scheme_header(toml: &str) -> Option<String> {
    let mut inside = false;
    for line in toml.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line.split('#').next().unwrap_or_default().replace(' ', "").trim_end_matches(']') == "[tool.wsprobe";
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        let key = key.trim().trim_matches(['"', '\'']);
        if (inside && key == "scheme_header") || key == "tool.wsprobe.scheme_header" {
            let value = value.trim();
            let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
            return value[1..].split(quote).next().map(str::to_owned);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_read_from_its_own_section() {
        let header = |text: &str| scheme_header(text);
        assert_eq!(header("[tool.wsprobe]\nscheme_header = \"X-Forwarded-Proto\" # edge").as_deref(), Some("X-Forwarded-Proto"));
        assert_eq!(header("[ tool . wsprobe ] # ours\n'scheme_header' = 'A'").as_deref(), Some("A"));
        assert_eq!(header("[tool.other]\nscheme_header = \"A\""), None);
        assert_eq!(header("[tool.wsprobe]\n[tool.x]\nscheme_header = \"A\""), None);
    }
}

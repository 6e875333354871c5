//! The files of `target_files`: which there are, and whether they are still what they were.
//!
//! They are compared by what they hold, not by their times or inodes: Kubernetes swaps a symbolic link above them, editors
//! rename, others write in place.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest file that is read: far above any configuration, far below what would hurt.
pub(super) const MAX_FILE: u64 = 16 << 20;

/// Files that one pattern may match: a wrong one may match a whole disk.
const MAX_FILES: usize = 1_000;

/// More lists of targets, and what they held when they were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetFiles {
    /// Whole paths, apart from `*`, `?`, `**` and `[ ]` as a shell has them.
    patterns: Vec<String>,
    seen: u64,
}

impl TargetFiles {
    pub(super) fn new(patterns: Vec<String>, seen: Print) -> Self {
        TargetFiles { patterns, seen: seen.0.finish() }
    }

    /// Whether there is nothing to look at.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// A number for what the files held when the configuration was read.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// The same for what they hold now. Reads them all: not for an async task.
    pub fn look(&self) -> u64 {
        let mut print = Print::default();
        for pattern in &self.patterns {
            for path in matches(pattern).unwrap_or_default() {
                let mut bytes = vec![];
                match File::open(&path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes)) {
                    Ok(_) => print.add(&path, &bytes),
                    Err(error) => print.add(&path, error.to_string().as_bytes()),
                }
            }
        }
        print.0.finish()
    }
}

/// What some files hold, as a number in the making.
#[derive(Default)]
pub(super) struct Print(DefaultHasher);

impl Print {
    pub fn add(&mut self, path: &Path, bytes: &[u8]) {
        (path, bytes).hash(&mut self.0);
    }
}

/// The pattern of a configuration in `folder`, as a whole path.
pub(super) fn whole(folder: &Path, pattern: &str) -> String {
    if Path::new(pattern).is_absolute() {
        return pattern.to_owned();
    }
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    format!("{}/{pattern}", glob::Pattern::escape(&folder.to_string_lossy()))
}

/// The files that match, sorted. Hidden ones have to be asked for: editors and Kubernetes leave theirs beside.
///
/// # Errors
/// Why the pattern can't be used.
pub(super) fn matches(pattern: &str) -> Result<Vec<PathBuf>, String> {
    let options = glob::MatchOptions { require_literal_separator: true, require_literal_leading_dot: true, case_sensitive: true };
    let paths = glob::glob_with(pattern, options).map_err(|error| format!("is not a pattern: {}", error.msg))?;
    // what can't be looked into holds nothing that could be read
    let files: Vec<_> = paths.filter_map(Result::ok).filter(|path| path.is_file()).take(MAX_FILES + 1).collect();
    match files.len() > MAX_FILES {
        true => Err(format!("matches more than {MAX_FILES} files")),
        false => Ok(files),
    }
}

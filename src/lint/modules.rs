//! The modules of a run: each read, parsed and evaluated once, and found by the names under which others import it.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use super::eval::{self, Module};
use super::project;
use super::python::Python;
use super::value::Place;
use crate::source::Source;

/// Folders above a module in which an absolute import is looked for.
const MOST_ROOTS: usize = 8;
/// Modules read because others import them.
const MOST_IMPORTED: usize = 500;
/// Modules that import each other in a chain.
const LONGEST_CHAIN: usize = 16;
/// Such a chain when single names are imported: constants of settings are not handed on for long, models and views are.
const LONGEST_CHAIN_OF_NAMES: usize = 4;

/// Where files come from: a file's bytes, up to a bound, or `None` if there is no such file.
pub trait Files {
    fn read(&self, path: &Path) -> Option<Vec<u8>>;
}

/// One file of the run.
pub struct File {
    pub python: Rc<Python>,
    module: Option<Rc<Module>>,
}

/// All files of a run.
pub struct Modules<'f> {
    files: Vec<File>,
    known: HashMap<PathBuf, Option<usize>>,
    source: &'f dyn Files,
    imported: usize,
    chain: usize,
}

impl<'f> Modules<'f> {
    pub fn new(source: &'f dyn Files) -> Self {
        Modules { files: vec![], known: HashMap::new(), source, imported: 0, chain: 0 }
    }

    /// Takes a file in that the user gave. `None`: it is there already.
    pub fn give(&mut self, python: Python) -> Option<usize> {
        if self.known.contains_key(&python.source.path) {
            return None;
        }
        Some(self.add(python))
    }

    fn add(&mut self, python: Python) -> usize {
        let id = self.files.len();
        self.known.insert(python.source.path.clone(), Some(id));
        self.files.push(File { python: Rc::new(python), module: None });
        id
    }

    pub fn file(&self, id: usize) -> &File {
        &self.files[id]
    }

    pub fn files(&self) -> impl Iterator<Item = (usize, &File)> {
        self.files.iter().enumerate()
    }

    pub fn path(&self, id: usize) -> &Path {
        &self.files[id].python.source.path
    }

    /// What a module's names are worth; an empty module where a chain of imports is too long or comes back to itself.
    pub fn module(&mut self, id: usize) -> Rc<Module> {
        if let Some(module) = &self.files[id].module {
            return module.clone();
        }
        if self.chain >= LONGEST_CHAIN {
            return Rc::new(Module::opaque());
        }
        self.files[id].module = Some(Rc::new(Module::opaque())); // what a cycle sees
        self.chain += 1;
        let module = Rc::new(eval::module(self, id));
        self.chain -= 1;
        self.files[id].module = Some(module.clone());
        module
    }

    /// The module that `from <name> import <wanted>` means in this file, if it is one of the project; `name` begins with a dot
    /// for each level of a relative import. One that can't tell what the wanted names are worth is not even parsed: settings
    /// that import one function would take in all of a project. `wanted: None` is `import *`.
    pub fn resolve(&mut self, from: usize, name: &str, wanted: Option<&[String]>) -> Option<usize> {
        if wanted.is_some() && self.chain > LONGEST_CHAIN_OF_NAMES {
            return None;
        }
        let dots = name.chars().take_while(|c| *c == '.').count();
        let parts: Vec<&str> = name[dots..].split('.').filter(|part| !part.is_empty()).collect();
        let folder = self.path(from).parent().unwrap_or(Path::new("")).to_owned();
        if dots > 0 {
            let mut base = folder;
            for _ in 1..dots {
                base = up(&base);
            }
            return self.in_folder(&base, &parts, wanted);
        }
        let mut root = folder;
        for _ in 0..MOST_ROOTS {
            if let Some(found) = self.in_folder(&root, &parts, wanted) {
                return Some(found);
            }
            let above = up(&root);
            if above == root {
                break;
            }
            root = above;
        }
        None
    }

    /// The file that a path in this file means, relative to its folder (`include("base.py")`).
    pub fn beside(&mut self, from: usize, relative: &str) -> Option<usize> {
        let path = self.path(from).parent().unwrap_or(Path::new("")).join(relative);
        self.load(path, None)
    }

    fn in_folder(&mut self, folder: &Path, parts: &[&str], wanted: Option<&[String]>) -> Option<usize> {
        let below: PathBuf = parts.iter().collect();
        let package = folder.join(&below).join("__init__.py");
        if parts.is_empty() {
            return self.load(package, wanted);
        }
        self.load(folder.join(below).with_extension("py"), wanted).or_else(|| self.load(package, wanted))
    }

    fn load(&mut self, path: PathBuf, wanted: Option<&[String]>) -> Option<usize> {
        let path = tidy(&path);
        if let Some(known) = self.known.get(&path) {
            return *known;
        }
        if self.imported >= MOST_IMPORTED {
            return None;
        }
        let Some(bytes) = self.source.read(&path) else {
            self.known.insert(path, None);
            return None;
        };
        if wanted.is_some_and(|names| !project::may_matter(&path, &bytes) && !names.iter().any(|name| binds(&bytes, name))) {
            return None;
        }
        self.imported += 1;
        Some(self.add(Python::new(path, &bytes)))
    }

    /// Whether a module was not followed to its end.
    pub fn unfinished(&self, id: usize) -> bool {
        self.files[id].module.as_ref().is_some_and(|module| module.unfinished)
    }

    /// The texts of all files, by their ids.
    pub fn into_sources(self) -> Vec<Source> {
        self.files
            .into_iter()
            .map(|file| Rc::try_unwrap(file.python).map_or_else(|shared| shared.source.clone(), |p| p.source))
            .collect()
    }

    /// The text at a place.
    pub fn text(&self, place: Place) -> &str {
        self.files[place.file].python.source.slice(place.span)
    }

    /// `path:line` of a place.
    pub fn named(&self, place: Place) -> String {
        let source = &self.files[place.file].python.source;
        format!("{}:{}", source.path.display(), source.location(place.span.start).line)
    }
}

/// Whether a line of the text begins with this name, as an assignment to it does.
fn binds(bytes: &[u8], name: &str) -> bool {
    bytes.split(|b| *b == b'\n').any(|line| {
        let after = line.strip_prefix(name.as_bytes()).map(<[u8]>::first);
        after.is_some_and(|next| next.is_some_and(|c| matches!(c, b' ' | b'=' | b':' | b',' | b'\t')))
    })
}

/// The folder above, also of a relative path.
fn up(folder: &Path) -> PathBuf {
    match folder.components().next_back() {
        Some(Component::Normal(_)) => folder.parent().unwrap_or(Path::new("")).to_owned(),
        Some(Component::RootDir | Component::Prefix(_)) => folder.to_owned(),
        _ => folder.join(".."),
    }
}

/// Without `.` and without `x/..`, so that one file has one path.
pub fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match (part, tidy.components().next_back()) {
            (Component::CurDir, _) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => {
                tidy.pop();
            }
            _ => tidy.push(part),
        }
    }
    tidy
}

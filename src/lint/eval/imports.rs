//! What modules take from each other: names, or all of them.

use tree_sitter::Node;

use super::call::imported;
use super::expression::unbound;
use super::statement::{children, of_kind};
use super::{Follow, Replaced};
use crate::lint::settings::BASES;
use crate::lint::value::{Kind, Place, Value};

impl Follow<'_, '_> {
    pub fn import(&mut self, node: Node<'_>) {
        let at = self.place(node);
        for import in children(node) {
            let module = import.child_by_field_name("name").unwrap_or(import);
            let module = self.line(module);
            let top = module.split('.').next().unwrap_or_default().to_owned();
            self.module.packages.push(top.as_str().into());
            match import.child_by_field_name("alias") {
                Some(alias) => {
                    let alias = self.text(alias).to_owned();
                    self.set(&alias, Value::new(Kind::Name(module.into()), at));
                }
                None => self.set(&top, Value::new(Kind::Name(top.as_str().into()), at)),
            }
        }
    }

    pub fn import_from(&mut self, node: Node<'_>) {
        let Some(module) = node.child_by_field_name("module_name") else { return };
        let module: String = self.text(module).split_whitespace().collect();
        let top = module.split('.').next().unwrap_or_default();
        self.module.packages.push(top.into());
        let at = self.place(node);
        let foreign = FOREIGN.contains(&top);
        let whole = !of_kind(node, "wildcard_import").is_empty();
        let mut cursor = node.walk();
        let imports: Vec<Node<'_>> = node.children_by_field_name("name", &mut cursor).collect();
        let wanted: Vec<String> =
            imports.iter().map(|import| self.line(import.child_by_field_name("name").unwrap_or(*import))).collect();
        let wanted = (!whole).then_some(&wanted[..]);
        let file = if foreign { None } else { self.modules.resolve(self.file, &module, wanted) };
        if whole {
            match file {
                Some(file) => self.star(file, at),
                None if foreign => {}
                None => self.hide(at),
            }
            return;
        }
        for import in imports {
            let original = self.line(import.child_by_field_name("name").unwrap_or(import));
            let name = import.child_by_field_name("alias").map_or(original.clone(), |alias| self.text(alias).to_owned());
            let value = match file {
                Some(file) => self.modules.module(file).names.get(&*original).cloned(),
                None if module.chars().all(|c| c == '.') => None,
                None if BASES.contains(&module.rsplit('.').next().unwrap_or_default()) => Some(unbound(&original, at)),
                None => Some(imported(&format!("{module}.{original}"), at)),
            };
            // `from . import base` is the module beside this one
            let beside = || module.chars().all(|c| c == '.').then(|| imported(&format!("{module}{original}"), at));
            self.set(&name, value.or_else(beside).unwrap_or_else(|| Value::unknown(at)));
        }
    }

    /// `NAME` of `import module`, where that is a module of the project.
    pub fn of_module(&mut self, module: &str, name: &str) -> Option<Value> {
        let top = module.split('.').next().unwrap_or_default();
        // looking for a file costs as much as many steps
        if top == "builtins" || FOREIGN.contains(&top) || name != name.to_ascii_uppercase() || !self.spend(LOOK_UP) {
            return None;
        }
        let file = self.modules.resolve(self.file, module, Some(&[name.to_owned()]))?;
        self.modules.module(file).names.get(name).cloned()
    }

    /// All names of another module become names of this one.
    pub fn star(&mut self, file: usize, at: Place) {
        let module = self.modules.module(file);
        if !self.spend(module.names.len()) {
            return;
        }
        self.module.imports.push(file);
        if let Some(hidden) = module.opaque {
            self.hide(hidden);
        }
        if self.conditional == 0 {
            let now = &self.module;
            let lost = now.assignments.iter().filter(|a| !a.conditional && module.names.contains_key(&a.name));
            let lost: Vec<Replaced> = lost.map(|a| Replaced { name: a.name.clone(), target: a.target, by: at }).collect();
            self.module.replaced.extend(lost);
        }
        let public: Option<Vec<&str>> =
            module.names.get("__all__").and_then(Value::sequence).map(|all| all.iter().filter_map(Value::as_str).collect());
        let taken = |name: &str| public.as_ref().map_or(!name.starts_with('_'), |all| all.contains(&name));
        for (name, value) in module.names.iter().filter(|(name, _)| taken(name)) {
            self.set(name, value.clone());
        }
    }
}

/// Steps that are taken for looking a module up.
const LOOK_UP: usize = 500;

/// Packages that are never a project's own: looking for their files would be in vain.
const FOREIGN: &[&str] = &[
    "os",
    "sys",
    "pathlib",
    "typing",
    "datetime",
    "logging",
    "re",
    "json",
    "django",
    "environ",
    "environs",
    "decouple",
    "configurations",
    "split_settings",
    "sentry_sdk",
    "celery",
    "corsheaders",
    "dj_database_url",
    "__future__",
    "contextlib",
    "collections",
    "distutils",
    "urllib",
    "socket",
    "tempfile",
    "functools",
];

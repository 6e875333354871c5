//! Which modules are Django settings. Other programs have names like Django's: a rule fires nowhere else.

use std::collections::HashSet;
use std::path::Path;

use super::eval::Module;
use super::modules::Modules;

/// No program but Django has these.
const CERTAIN: &[&str] = &["INSTALLED_APPS", "MIDDLEWARE", "ROOT_URLCONF", "WSGI_APPLICATION", "ASGI_APPLICATION"];

/// Settings of Django that other programs may have one of.
const LIKELY: &[&str] = &[
    "ALLOWED_HOSTS",
    "AUTH_PASSWORD_VALIDATORS",
    "AUTH_USER_MODEL",
    "CHANNEL_LAYERS",
    "CSRF_COOKIE_SECURE",
    "CSRF_TRUSTED_ORIGINS",
    "DATABASES",
    "DEFAULT_AUTO_FIELD",
    "MEDIA_ROOT",
    "PREPEND_WWW",
    "SECURE_HSTS_SECONDS",
    "SECURE_PROXY_SSL_HEADER",
    "SECURE_REDIRECT_EXEMPT",
    "SECURE_SSL_HOST",
    "SECURE_SSL_REDIRECT",
    "SESSION_COOKIE_SECURE",
    "STATICFILES_STORAGE",
    "STATIC_ROOT",
    "STATIC_URL",
    "STORAGES",
    "TEMPLATES",
    "USE_TZ",
    "USE_X_FORWARDED_HOST",
    "USE_X_FORWARDED_PORT",
];

/// Of those, the ones that a module of settings for one environment may have alone.
const TELLING: &[&str] = &["SECURE_PROXY_SSL_HEADER", "SECURE_SSL_REDIRECT", "SECURE_REDIRECT_EXEMPT", "CSRF_TRUSTED_ORIGINS"];

/// Names of modules of settings that do not say `settings`.
const ENVIRONMENTS: &[&str] = &["production", "prod", "staging", "stage", "live", "base", "common", "local", "security"];

/// Packages whose settings have Django's names and are none.
const NOT_DJANGO: &[&str] = &["flask", "quart", "sanic", "starlette", "fastapi", "scrapy"];

/// Names of modules and classes that others are built on.
pub const BASES: &[&str] = &["base", "common", "default", "defaults", "components", "shared", "core", "security"];

/// A module of settings.
pub struct Settings {
    pub file: usize,
    /// No other module is built on it, so what it leaves unset stays unset.
    pub complete: bool,
    pub development: bool,
}

/// The modules of settings among these files.
pub fn among(modules: &mut Modules<'_>, files: &[usize]) -> Vec<Settings> {
    let mut found: HashSet<usize> = HashSet::new();
    let mut imports = vec![];
    for id in 0..modules.files().count() {
        let module = modules.module(id);
        imports.push(module.imports.clone());
        if looks_like(modules.path(id), &module) {
            found.insert(id);
        }
    }
    // What settings import whole is a part of them, and what imports settings whole is built on them.
    loop {
        let before = found.len();
        for (id, imported) in imports.iter().enumerate() {
            if found.contains(&id) {
                found.extend(imported);
            } else if imported.iter().any(|one| found.contains(one)) {
                found.insert(id);
            }
        }
        if found.len() == before {
            break;
        }
    }
    let built_on: HashSet<usize> =
        imports.iter().enumerate().filter(|(id, _)| found.contains(id)).flat_map(|(_, all)| all.clone()).collect();
    let files = files.iter().filter(|id| found.contains(id));
    let settings = files.map(|&file| {
        let name = module_name(modules.path(file));
        let base = BASES.contains(&name.as_str())
            || modules
                .path(file)
                .parent()
                .is_some_and(|folder| folder.ends_with("components") || folder.ends_with("environments"));
        Settings { file, complete: !base && !built_on.contains(&file), development: is_development(&name) }
    });
    settings.collect()
}

/// Whether a name says that it is not for production.
pub fn is_development(name: &str) -> bool {
    let words: Vec<&str> = name.split(['_', '-', '.']).collect();
    ["dev", "development", "local", "test", "tests", "testing", "ci", "debug", "docker_dev", "example", "sample", "template"]
        .iter()
        .any(|word| words.contains(word))
}

/// `production` of `settings/production.py`, `settings` of `settings/__init__.py`.
fn module_name(path: &Path) -> String {
    let name = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    match name(path).as_str() {
        "__init__" => path.parent().map_or(String::new(), name),
        other => other.to_owned(),
    }
}

/// Whether a path is where settings are.
pub fn is_named_settings(path: &Path) -> bool {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().to_lowercase();
    stem.contains("settings") || matches!(folder.as_str(), "settings" | "setting")
}

fn looks_like(path: &Path, module: &Module) -> bool {
    if module.packages.iter().any(|package| NOT_DJANGO.contains(&&**package)) {
        return false;
    }
    // what is imported whole is counted where it is written
    let own: HashSet<&str> = module.assignments.iter().map(|a| &*a.name).collect();
    let in_classes = module.classes.iter().flat_map(|configured| configured.class.names.iter().map(|(name, _)| &**name));
    let own: HashSet<&str> = own.into_iter().chain(in_classes).collect();
    let likely = LIKELY.iter().filter(|name| own.contains(*name)).count();
    let certain = CERTAIN.iter().any(|name| own.contains(name));
    let named = is_named_settings(path);
    let secure = own.iter().any(|name| name.to_ascii_uppercase().starts_with("SECURE_"));
    let stem = module_name(path);
    let part = ENVIRONMENTS.contains(&stem.as_str()) && TELLING.iter().any(|name| own.contains(name));
    // one name in a file that is called settings, or two anywhere
    certain || part || likely >= 2 || (named && (likely > 0 || secure)) || !module.classes.is_empty() && likely > 0
}

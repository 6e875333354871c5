//! Mistakes in Django settings that break HTTPS redirects and WebSockets, found before they are deployed.
//!
//! The code that is checked is parsed and followed ([`eval`]), never imported or run. What it may be worth in the end goes
//! through the rules ([`rules`]), and what they find leaves as text, JSON, SARIF or annotations ([`output`]). Only
//! [`project`] reads files; everything else works on what it is given, so that it can be fuzzed.

mod asgi;
mod catalog;
mod deploy;
mod eval;
mod finding;
mod ignore;
mod modules;
pub mod output;
pub mod project;
mod python;
mod rules;
mod settings;
mod value;

use std::collections::{HashMap, HashSet};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::thread;

pub use catalog::RULES;
pub use finding::{Finding, Report, Rule, Severity};
pub use modules::Files;

use catalog::{PY001, PY002};
use modules::Modules;
use python::{Python, Trouble};
use rules::{Context, Scope};
use value::Place;

use crate::source::{Source, Span};

/// One file to check.
pub struct Input {
    pub path: PathBuf,
    pub bytes: Vec<u8>,
    /// How it came into the run.
    pub role: Role,
    /// What `[tool.wsprobe] scheme_header` of the nearest pyproject.toml says.
    pub header: Option<Header>,
}

/// How a file came into the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The user named it.
    Named,
    /// It was found in a folder that the user named.
    Found,
    /// It lies beside a file that the user named: read for what it says of that file, and not judged itself.
    Beside,
}

/// How to check.
#[derive(Debug, Default)]
pub struct Options {
    /// What the last hop really sends; `None`: what pyproject.toml says, else X-Forwarded-Proto.
    pub header: Option<Header>,
    /// Report also what can't be known, and ignores that match nothing.
    pub strict: bool,
}

/// The header by which the last hop tells the scheme, as a key of `request.META`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header(String);

impl Header {
    /// `X-Forwarded-Proto` or `HTTP_X_FORWARDED_PROTO`.
    pub fn new(name: &str) -> Result<Self, String> {
        let token = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if !token {
            return Err(format!("{} is no name of a header, write it like X-Forwarded-Proto", rules::python(name)));
        }
        let upper = name.to_ascii_uppercase().replace('-', "_");
        Ok(Header(if upper.starts_with("HTTP_") { upper } else { format!("HTTP_{upper}") }))
    }
}

/// Checks these files, with others that they import.
pub fn check(inputs: Vec<Input>, files: &dyn Files, options: &Options) -> Report {
    let mut modules = Modules::new(files);
    let mut given = vec![];
    let mut judged = HashSet::new();
    // `{{cookiecutter.slug}}/settings.py` is a template of Python, and none itself
    let inputs = inputs.into_iter().filter(|input| !input.path.to_string_lossy().contains("{{"));
    let (code, others): (Vec<Input>, Vec<Input>) =
        inputs.partition(|input| is_python(&input.path) || input.role == Role::Named && !deploy::is_deployment(&input.path));
    for (input, python) in parsed(code) {
        let matters = input.role == Role::Named && is_python(&input.path) && project::may_matter(&input.path, &input.bytes);
        let id = modules.give(python);
        judged.extend(id.filter(|_| input.role != Role::Beside));
        given.extend(id.map(|id| (id, matters, input.header)));
    }
    let ids: Vec<usize> = given.iter().map(|(id, ..)| *id).collect();
    for id in &ids {
        modules.module(*id);
    }
    let known = settings::among(&mut modules, &ids);
    let count = modules.files().count();
    let texts: Vec<Source> = others.iter().map(|t| Source::new(&t.path, &String::from_utf8_lossy(&t.bytes))).collect();
    let deployed = deploy::read(&texts, count);
    let served = asgi::read(&modules, &ids);

    let mut findings = vec![];
    let mut variables = HashMap::new();
    for (id, matters, header) in given.iter().filter(|(id, ..)| judged.contains(id)) {
        let setting = known.iter().find(|setting| setting.file == *id);
        if let Some(finding) = trouble(&modules, *id).filter(|_| *matters || setting.is_some()) {
            findings.push(finding);
        }
        let Some(setting) = setting else { continue };
        let declared = options.header.as_ref().or(header.as_ref());
        let context = Context {
            expected: declared.map_or("HTTP_X_FORWARDED_PROTO", |header| &header.0).to_owned(),
            declared: declared.is_some(),
            strict: options.strict,
            origin_validator: served.origin_validator.is_some(),
            health_check: deployed.health_check.clone(),
        };
        let module = modules.module(*id);
        for scope in scopes(&modules, *id, &module, setting, &context) {
            findings.extend(rules::check(&scope));
            variables.extend(rules::header_variables(&scope));
        }
    }
    findings.extend(asgi::check(&served, &deployed).into_iter().filter(|finding| judged.contains(&finding.place.file)));
    findings.extend(deploy::check(&deployed, &variables, served.consumers));
    let settings = known.iter().filter(|setting| judged.contains(&setting.file)).count();
    report(modules, texts, findings, &judged, settings, options)
}

fn is_python(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "py")
}

/// Files with their syntax trees, in the order they were given. Three quarters of a run are spent here, so that all cores share it.
fn parsed(inputs: Vec<Input>) -> Vec<(Input, Python)> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(inputs.len());
    let queue = Mutex::new(inputs.into_iter().enumerate());
    let work = || {
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        std::iter::from_fn(next)
            .map(|(n, input)| {
                let python = Python::new(modules::tidy(&input.path), &input.bytes);
                (n, input, python)
            })
            .collect::<Vec<_>>()
    };
    let mut parsed: Vec<(usize, Input, Python)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    parsed.sort_by_key(|(n, ..)| *n);
    parsed.into_iter().map(|(_, input, python)| (input, python)).collect()
}

/// The module itself, or its classes of django-configurations.
fn scopes<'a>(
    modules: &'a Modules<'a>,
    file: usize,
    module: &'a Rc<eval::Module>,
    setting: &settings::Settings,
    context: &'a Context,
) -> Vec<Scope<'a>> {
    let scope = |class, assignments, complete, development| Scope {
        modules,
        file,
        module,
        class,
        assignments,
        complete,
        development,
        context,
    };
    if module.classes.is_empty() {
        return vec![scope(None, &module.assignments, setting.complete, setting.development)];
    }
    let of_class = |configured: &'a eval::Configured| {
        let name = configured.class.name.to_lowercase();
        let base = settings::BASES.contains(&name.as_str());
        let development = setting.development || settings::is_development(&name);
        scope(Some(&*configured.class), &configured.assignments, setting.complete && !base, development)
    };
    module.classes.iter().map(of_class).collect()
}

/// What keeps a file from being checked, or checked to its end.
fn trouble(modules: &Modules<'_>, id: usize) -> Option<Finding> {
    let file = modules.file(id);
    let at = |span| Place { file: id, span };
    let whole = at(Span::default());
    match &file.python.trouble {
        Some(Trouble::Syntax(span)) => {
            Some(Finding::new(&PY001, at(*span), "this is no Python; what is around it is not checked"))
        }
        Some(Trouble::Encoding(why)) => Some(Finding::new(&PY002, whole, format!("the file is not checked: {why}"))),
        Some(Trouble::TooMuch(why)) => Some(Finding::new(&PY002, whole, format!("the file is not checked: {why}"))),
        None if modules.unfinished(id) => Some(Finding::new(
            &PY002,
            whole,
            "the file is not checked to its end: it is nested too deep or has too many branches",
        )),
        None => None,
    }
}

/// Findings of one file that are told: whoever has more has one cause.
const MOST_FINDINGS: usize = 100;

/// The first findings of each file; the last one of a file says how many more there are.
fn capped(findings: Vec<Finding>) -> Vec<Finding> {
    let mut told: Vec<Finding> = vec![];
    for of_file in findings.chunk_by(|a, b| a.place.file == b.place.file) {
        let more = of_file.len().saturating_sub(MOST_FINDINGS);
        told.extend(of_file.iter().take(MOST_FINDINGS).cloned());
        if let Some(last) = told.last_mut().filter(|_| more > 0) {
            last.help.push(format!("{more} more findings in this file are not shown"));
        }
    }
    told
}

/// Mutes what is ignored, and brings the rest in order.
fn report(
    modules: Modules<'_>,
    texts: Vec<Source>,
    findings: Vec<Finding>,
    given: &HashSet<usize>,
    settings: usize,
    options: &Options,
) -> Report {
    let ignores = ignore::read(&modules, &texts);
    let mut findings = ignore::apply(&modules, &texts, ignores, findings, options.strict, given);
    // one mistake, found by several ways to it: the shortest has the fewest conditions
    findings.sort_by_key(|finding| finding.message.len());
    let mut seen = HashSet::new();
    findings.retain(|finding| seen.insert((finding.rule.id, finding.place)));
    let mut sources: Vec<Source> = modules.into_sources();
    sources.extend(texts);
    findings.sort_by(|a, b| {
        let key = |f: &Finding| (sources[f.place.file].path.clone(), f.place.span.start, f.severity, f.rule.id);
        key(a).cmp(&key(b))
    });
    Report { sources, findings: capped(findings), settings }
}

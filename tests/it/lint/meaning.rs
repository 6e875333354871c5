//! What settings are taken to mean: branches, imports, libraries that read the environment, declared headers, ignores.

use wsprobe::lint::{Header, Options, output};

use super::{checked, found, rules};

const APPS: &str = "INSTALLED_APPS = []\n";

fn header(line: &str) -> Vec<&'static str> {
    let mut ids = found(&format!("{APPS}{line}\n"));
    ids.retain(|id| *id != "PSH015");
    ids
}

fn strict() -> Options {
    Options { strict: true, header: None }
}

#[test]
fn each_branch_is_judged_by_itself_and_told_with_its_condition() {
    let text = "
INSTALLED_APPS = []
if STAGE == 'prod':
    SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https')
elif STAGE == 'staging':
    SECURE_PROXY_SSL_HEADER = ('X-Forwarded-Proto', 'https')
else:
    SECURE_PROXY_SSL_HEADER = None
";
    let report = checked(&[("settings.py", text)], &Options::default());
    assert_eq!(rules(&report), ["PSH001"]);
    let said = &report.findings()[0].message;
    assert!(said.contains("when not (STAGE == 'prod') and STAGE == 'staging'"), "{said}");
    assert_eq!(report.location(&report.findings()[0]), Some((6, 32)));
}

#[test]
fn a_redirect_and_a_header_in_one_branch_belong_together() {
    let both = "if not DEBUG:\n    SECURE_SSL_REDIRECT = True\n    SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https')";
    assert!(header(both).is_empty());
    let apart = "SECURE_SSL_REDIRECT = not DEBUG\nif PROXY:\n    SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https')";
    assert!(header(apart).is_empty(), "what may be off is not told");
    let other = "if not DEBUG:\n    SECURE_SSL_REDIRECT = True\nif ON_AWS:\n    SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https')";
    assert_eq!(header(other), ["PSH012"]);
    assert!(header(&other.replace("ON_AWS", "BEHIND_PROXY")).is_empty(), "who asks for the proxy means it");
}

#[test]
fn what_is_imported_whole_counts_at_the_line_of_the_import() {
    let base = ("config/base.py", "INSTALLED_APPS = []\nSECURE_SSL_REDIRECT = True\n");
    let lost = checked(
        &[("config/production.py", "SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https')\nfrom .base import *\n"), base],
        &Options::default(),
    );
    assert_eq!(rules(&lost), Vec::<&str>::new(), "base sets no header, so nothing is lost");
    let wrong = checked(
        &[
            (
                "config/production.py",
                "from config.base import *\nfrom config.base import HEADER\nSECURE_PROXY_SSL_HEADER = HEADER\n",
            ),
            ("config/base.py", "INSTALLED_APPS = []\nHEADER = ('HTTP_X_FORWARDED_PROTO' 'https')\n"),
        ],
        &Options::default(),
    );
    assert_eq!(rules(&wrong), ["PSH003"]);
    assert!(output::human::render(&wrong, false).contains("config/base.py:2:10"), "the origin is shown");
    let missing = checked(
        &[("config/production.py", "from .base import *\nSECURE_HSTS_SECONDS = 60\nSESSION_COOKIE_SECURE = True\n"), base],
        &Options::default(),
    );
    assert_eq!(rules(&missing), ["PSH012"], "told of the module that is complete");
    let only_base = checked(&[base], &Options::default());
    assert!(rules(&only_base).is_empty(), "others build on base.py");
}

#[test]
fn modules_that_import_each_other_come_to_an_end() {
    let report = checked(
        &[
            ("a/settings.py", "from .b import *\nINSTALLED_APPS = []\nSECURE_PROXY_SSL_HEADER = 'x,y'\n"),
            ("a/b.py", "from .settings import *\nALLOWED_HOSTS = 'x'\n"),
        ],
        &Options::default(),
    );
    assert_eq!(rules(&report), ["AH003", "PSH002"]);
}

#[test]
fn only_modules_of_settings_are_judged() {
    let line = "SECURE_PROXY_SSL_HEADER = 'X-Forwarded-Proto'\n";
    assert!(rules(&checked(&[("config.py", line)], &Options::default())).is_empty(), "one name alone may be anybody's");
    assert!(found(&format!("from flask import Flask\n{line}ALLOWED_HOSTS = 'x'\n")).is_empty(), "Flask");
    assert_eq!(found(line), ["PSH002"], "in a file called settings.py it is Django's");
    assert_eq!(rules(&checked(&[("deploy/prod.py", &format!("{line}ALLOWED_HOSTS = []\n"))], &Options::default())), ["PSH002"]);
    let inside =
        "INSTALLED_APPS = []\ndef configure():\n    SECURE_PROXY_SSL_HEADER = 'x'\nclass Test:\n    ALLOWED_HOSTS = 'x'\n";
    assert!(found(inside).is_empty(), "neither a function nor a class is the module");
    let quoted =
        "INSTALLED_APPS = []\n'''\nALLOWED_HOSTS = 'x'\n'''\n# ALLOWED_HOSTS = 'x'\nDOC = \"SECURE_SSL_REDIRECT = 'x'\"\n";
    assert!(found(quoted).is_empty(), "neither texts nor comments are code");
}

#[test]
fn libraries_that_read_the_environment_are_known_by_what_they_return() {
    let environ = "import environ\nenv = environ.Env(H=(tuple, ()), R=(bool, False))\n";
    assert_eq!(header(&format!("{environ}SECURE_PROXY_SSL_HEADER = env('H')")), ["PSH009"], "the schema makes it a tuple");
    assert_eq!(header(&format!("{environ}SECURE_PROXY_SSL_HEADER = env('OTHER')")), ["PSH008"]);
    assert_eq!(header(&format!("{environ}SECURE_PROXY_SSL_HEADER = env.tuple('X')")), ["PSH009"]);
    assert!(header(&format!("{environ}SECURE_SSL_REDIRECT = env('R')")).is_empty());
    assert_eq!(header(&format!("{environ}SECURE_SSL_REDIRECT = env('S', default='off')")), ["SSR001"]);
    assert!(
        header(&format!("{environ}SECURE_SSL_REDIRECT = env('S', default=False)")).is_empty(),
        "cast to the type of the default"
    );
    let decouple = "from decouple import config, Csv\n";
    assert!(header(&format!("{decouple}ALLOWED_HOSTS = config('H', cast=Csv())")).is_empty());
    assert_eq!(header(&format!("{decouple}ALLOWED_HOSTS = config('H')")), ["AH003"]);
    assert!(header(&format!("{decouple}SECURE_SSL_REDIRECT = config('S', default=False, cast=bool)")).is_empty());
    assert_eq!(header("import os\nSECURE_SSL_REDIRECT = bool(os.environ.get('S', 'False'))"), ["SSR001"]);
    assert!(header("import os\nSECURE_SSL_REDIRECT = bool(int(os.getenv('S', '0')))").is_empty());
    assert!(header("import os\nSECURE_SSL_REDIRECT = os.getenv('S') == 'on'").is_empty());
    assert_eq!(header("import os\nSECURE_SSL_REDIRECT = os.getenv('S') or True"), ["SSR001", "PSH012"]);
    let own = "def env(name): return ('HTTP_X_FORWARDED_PROTO', 'https')\nSECURE_PROXY_SSL_HEADER = env('X')";
    assert!(header(own).is_empty(), "a function of the project is not guessed at");
}

#[test]
fn classes_of_django_configurations_are_settings() {
    let text = "
from configurations import Configuration, values
class Base(Configuration):
    INSTALLED_APPS = []
    SECURE_SSL_REDIRECT = True
class Production(Base):
    SECURE_PROXY_SSL_HEADER = values.TupleValue(('HTTP_X_FORWARDED_PROTO', 'https'))
class Broken(Base):
    @property
    def SECURE_PROXY_SSL_HEADER(self):
        return ('HTTP_X_FORWARDED_PROTO')
class Text(Base):
    SECURE_PROXY_SSL_HEADER = values.Value('HTTP_X_FORWARDED_PROTO,https')
";
    assert_eq!(found(text), ["PSH002", "PSH008"]);
    let bare = text.split("class Production").next().unwrap_or_default();
    assert_eq!(found(&format!("{bare}class Production(Base):\n    pass\n")), ["PSH012"], "through its base");
}

#[test]
fn a_declared_header_is_expected_in_place_of_the_usual_one() {
    for name in ["CloudFront-Forwarded-Proto", "HTTP_CLOUDFRONT_FORWARDED_PROTO", "cloudfront-forwarded-proto"] {
        let options = Options { header: Some(Header::new(name).expect("a name")), strict: false };
        let file = |value: &str| {
            format!("INSTALLED_APPS = []\nSECURE_SSL_REDIRECT = True\nSECURE_PROXY_SSL_HEADER = ('{value}', 'https')\n")
        };
        let right = checked(&[("settings.py", &file("HTTP_CLOUDFRONT_FORWARDED_PROTO"))], &options);
        assert_eq!(rules(&right), Vec::<&str>::new(), "{name}");
        let usual = checked(&[("settings.py", &file("HTTP_X_FORWARDED_PROTO"))], &options);
        assert_eq!(rules(&usual), ["PSH005"], "{name}");
        assert!(usual.findings()[0].help[0].contains("HTTP_CLOUDFRONT_FORWARDED_PROTO"));
    }
    assert!(Header::new("two words").is_err() && Header::new("").is_err());
}

#[test]
fn what_cant_be_known_is_told_only_to_who_asks() {
    for line in [
        "from platform import header\nSECURE_PROXY_SSL_HEADER = header()",
        "for name in NAMES:\n    globals()[name] = ('HTTP_X_FORWARDED_PROTO', 'https')",
        "exec(open('more.py').read())",
        "import dj\ndj.settings(locals())",
        "from elsewhere import *",
        "from os import environ\nSECURE_PROXY_SSL_HEADER = (environ['NAME'], 'https')",
    ] {
        let text = format!("{APPS}SECURE_SSL_REDIRECT = True\n{line}\n");
        assert!(found(&text).is_empty(), "{line}: {:?}", found(&text));
        assert_eq!(rules(&checked(&[("settings.py", &text)], &strict())), ["PSH014"], "{line}");
    }
}

#[test]
fn a_comment_mutes_a_rule_on_the_first_or_last_line_of_its_statement() {
    for line in [
        "ALLOWED_HOSTS = 'x'  # wsprobe: ignore[AH003]",
        "ALLOWED_HOSTS = 'x'  # noqa  # wsprobe: ignore[PSH001, AH003] for the old host",
        "ALLOWED_HOSTS = 'x'  # wsprobe: ignore[allowed-hosts-type]",
        "ALLOWED_HOSTS = [  # wsprobe: ignore[AH001]\n    'x/',\n    'y/',\n]",
        "ALLOWED_HOSTS = [\n    'x/',\n    'y/',\n]  # wsprobe: ignore[AH001]",
    ] {
        assert!(header(line).is_empty(), "{line}");
    }
    for line in [
        "ALLOWED_HOSTS = 'x'  # wsprobe: ignore[AH001]",
        "ALLOWED_HOSTS = 'x'  # wsprobe: ignore",
        "# wsprobe: ignore[AH003]\nALLOWED_HOSTS = 'x'",
        "ALLOWED_HOSTS = '# wsprobe: ignore[AH003]'",
    ] {
        assert_eq!(header(line), ["AH003"], "{line}");
    }
    let unused = format!("{APPS}ALLOWED_HOSTS = []  # wsprobe: ignore[AH003, AH777]\n");
    let report = checked(&[("settings.py", &unused)], &strict());
    let said: Vec<&str> = report.findings().iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(said, ["AH003 finds nothing here", "there is no rule \"AH777\""]);
}

#[test]
fn names_that_something_reads_are_no_misspelt_settings() {
    assert_eq!(header("SECURE_SSL_REDIRET = True"), ["PSH007"]);
    assert!(header("ALLOWED_HOST = 'a.example.com'\nALLOWED_HOSTS = [ALLOWED_HOST]").is_empty());
    assert!(header("WSGI_APPLICATION = 'a.wsgi.application'\nCORS_ALLOWED_ORIGINS = []").is_empty());
}

#[test]
fn a_file_that_is_no_python_is_told_and_what_is_around_it_still_read() {
    let text = "INSTALLED_APPS = []\nALLOWED_HOSTS = 'x'\ndef broken(:\n    pass\nSECURE_SSL_REDIRECT = 'no'\n";
    let ids = found(text);
    assert!(ids.contains(&"PY001") && ids.contains(&"AH003"), "{ids:?}");
}

/// What is found in the named file, and where.
fn named(main: &str, others: &[(&str, &str)]) -> Vec<(&'static str, String)> {
    let project = super::Project(others.iter().map(|(path, text)| (path.into(), text.as_bytes().to_vec())).collect());
    let input = wsprobe::lint::Input {
        path: "settings/production.py".into(),
        bytes: main.into(),
        role: wsprobe::lint::Role::Named,
        header: None,
    };
    let report = wsprobe::lint::check(vec![input], &project, &Options::default());
    report.findings().iter().map(|f| (f.rule.id, report.path(f).to_string_lossy().into_owned())).collect()
}

#[test]
fn what_the_named_file_takes_from_its_base_is_told_where_it_is_written() {
    let bad = "INSTALLED_APPS = []\nSECURE_PROXY_SSL_HEADER = ('HTTP_CLOUDFRONT_FORWARDED_PROTO', 'https')\n";
    let muted = bad.replace("'https')", "'https')  # wsprobe: ignore[PSH005]");
    let main = "from .base import *\nSECURE_SSL_REDIRECT = True\n";
    assert_eq!(named(main, &[("settings/base.py", bad)]), [("PSH005", "settings/base.py".to_owned())]);
    assert!(named(main, &[("settings/base.py", &muted)]).is_empty(), "muted where it is written");
    let mended = format!("{main}SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https')\n");
    assert!(named(&mended, &[("settings/base.py", bad)]).is_empty(), "the base alone is wrong, and not what is deployed");
}

#[test]
fn a_file_that_is_named_is_read_as_settings_whatever_its_name_is() {
    for name in ["settings.py.example", "settings.txt", "conf/prod_settings"] {
        let text = format!("{APPS}SECURE_PROXY_SSL_HEADER = ('X-Forwarded-Proto', 'https')\n");
        assert_eq!(rules(&checked(&[(name, &text)], &Options::default())), ["PSH001"], "{name}");
    }
    assert!(rules(&checked(&[("README.md", "Set SECURE_SSL_REDIRECT = \"True\" and (")], &Options::default())).is_empty());
}

//! The command: exit codes, formats, which files of a project it reads.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use crate::support::process::{Ran, ran, run, wsprobe};

/// A project in a folder.
fn project(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().expect("folder");
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        fs::write(path, text).expect("write");
    }
    folder
}

async fn lint(folder: &TempDir, args: &[&str]) -> Ran {
    ran(wsprobe().arg("lint-django").args(args).current_dir(folder.path())).await
}

const GOOD: &str =
    "INSTALLED_APPS = []\nSECURE_SSL_REDIRECT = True\nSECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https')\n";
const BAD: &str = "INSTALLED_APPS = []\nSECURE_PROXY_SSL_HEADER = ('X-Forwarded-Proto', 'https')\n";
const CLOUDFRONT: &str =
    "INSTALLED_APPS = []\nSECURE_SSL_REDIRECT = True\nSECURE_PROXY_SSL_HEADER = ('HTTP_CLOUDFRONT_FORWARDED_PROTO', 'https')\n";

#[tokio::test]
async fn errors_fail_warnings_fail_when_strict_and_a_wrong_path_is_a_usage_error() {
    let folder = project(&[
        ("good/settings.py", GOOD),
        ("bad/settings.py", BAD),
        ("warned/settings.py", "INSTALLED_APPS = []\nSECURE_SSL_REDIRECT = True\n"),
        ("empty/readme.txt", ""),
    ]);
    for (args, code, said) in [
        (&["good"][..], 0, "nothing found; 1 settings module checked"),
        (&["bad/settings.py"], 1, "PSH001"),
        (&["warned"], 0, "warning[PSH012]"),
        (&["warned", "--strict"], 1, "warning[PSH012]"),
        (&["good", "--strict"], 0, "nothing found"),
        (&["empty"], 0, "no Django settings found"),
        (&["good", "bad"], 1, "1 error"),
    ] {
        let ran = lint(&folder, args).await;
        assert_eq!(ran.code, Some(code), "{args:?}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains(said) && ran.stderr.is_empty(), "{args:?}: {}{}", ran.stdout, ran.stderr);
    }
    for (args, said) in [
        (&["nowhere.py"][..], "nowhere.py can't be read"),
        (&["good", "--header", "two words"], "no name of a header"),
        (&[], "required"),
        (&["/dev/zero"], "neither a file nor a folder"),
    ] {
        let ran = lint(&folder, args).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(ran.stderr.contains(said), "{args:?}: {}", ran.stderr);
    }
}

#[tokio::test]
async fn the_edge_is_declared_on_the_command_line_or_in_the_nearest_pyproject() {
    let declared = "[tool.wsprobe]\nscheme_header = \"CloudFront-Forwarded-Proto\"\n";
    let folder = project(&[
        ("edge/pyproject.toml", declared),
        ("edge/config/settings.py", CLOUDFRONT),
        ("plain/settings.py", CLOUDFRONT),
        ("wrong/pyproject.toml", "[tool.wsprobe]\nscheme_header = \"a b\"\n"),
        ("wrong/settings.py", GOOD),
    ]);
    assert_eq!(lint(&folder, &["edge"]).await.code, Some(0));
    let plain = lint(&folder, &["plain"]).await;
    assert!(plain.code == Some(1) && plain.stdout.contains("--header CloudFront-Forwarded-Proto"), "{}", plain.stdout);
    assert_eq!(lint(&folder, &["plain", "--header", "cloudfront-forwarded-proto"]).await.code, Some(0));
    let usual = lint(&folder, &["edge", "--header", "X-Forwarded-Proto"]).await;
    assert!(usual.code == Some(1) && usual.stdout.contains("PSH005"), "the command line wins: {}", usual.stdout);
    let wrong = lint(&folder, &["wrong"]).await;
    assert!(wrong.code == Some(2) && wrong.stderr.contains("pyproject.toml"), "{}", wrong.stderr);
}

#[tokio::test]
async fn a_file_alone_is_judged_with_what_lies_beside_it() {
    let folder = project(&[
        ("a/settings.py", "INSTALLED_APPS = []\nSECURE_SSL_REDIRECT = True\n"),
        (
            "a/production.py",
            "from .settings import *\nSECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https')\nALLOWED_HOSTS = 'x'\n",
        ),
        ("b/asgi.py", "from django.core.asgi import get_asgi_application\napplication = get_asgi_application()\n"),
        ("b/routing.py", "websocket_urlpatterns = []\n"),
        ("c/settings/production.py", "INSTALLED_APPS = []\nALLOWED_HOSTS = ['*']\n"),
        ("c/asgi.py", "application = AllowedHostsOriginValidator(URLRouter([]))\n"),
    ]);
    let built_on = lint(&folder, &["a/settings.py"]).await;
    assert!(built_on.code == Some(0) && built_on.stdout.contains("nothing found; 1 settings"), "{}", built_on.stdout);
    let application = lint(&folder, &["b/asgi.py"]).await;
    assert!(application.code == Some(1) && application.stdout.contains("error[ASG003]"), "{}", application.stdout);
    let hosts = lint(&folder, &["c/settings/production.py"]).await;
    assert!(hosts.stdout.contains("warning[AH004]"), "{}", hosts.stdout);
}

#[tokio::test]
async fn a_project_is_searched_without_its_tests_and_environments() {
    let skipped = [
        "tests/settings.py",
        "docs/settings.py",
        "venv/settings.py",
        ".git/settings.py",
        "node_modules/a/settings.py",
        "lib/site-packages/a/settings.py",
        "app/migrations/settings.py",
        "app/test_settings.py",
        "anything/settings.py",
    ];
    let mut files: Vec<(&str, &str)> = skipped.iter().map(|path| (*path, BAD)).collect();
    files.extend([("anything/pyvenv.cfg", ""), ("config/settings/prod.py", BAD), ("deploy/anything.py", BAD)]);
    let folder = project(&files);
    std::os::unix::fs::symlink(folder.path(), folder.path().join("config/around")).expect("link");
    let ran = lint(&folder, &[".", "--format", "json"]).await;
    let json: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let found: Vec<&str> = json["findings"].as_array().expect("a list").iter().filter_map(|f| f["file"].as_str()).collect();
    assert_eq!(found, ["config/settings/prod.py", "deploy/anything.py"]);
    assert_eq!(lint(&folder, &["tests/settings.py"]).await.code, Some(1), "what is named is read");
}

#[tokio::test]
async fn json_has_the_documented_shape() {
    let folder = project(&[("settings.py", BAD)]);
    let ran = lint(&folder, &["settings.py", "--format", "json"]).await;
    let json: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let finding = &json["findings"][0];
    let keys: Vec<&str> = finding.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "rule",
            "name",
            "severity",
            "file",
            "line",
            "column",
            "end_line",
            "end_column",
            "text",
            "message",
            "why",
            "help",
            "related"
        ]
    );
    assert_eq!(
        (&finding["rule"], &finding["severity"], &finding["line"], &finding["column"]),
        (&"PSH001".into(), &"error".into(), &2.into(), &28.into())
    );
    assert_eq!(json["summary"], serde_json::json!({"errors": 1, "warnings": 0, "infos": 0, "settings_modules": 1}));
    let documented = fs::read_to_string("docs/lint-django.md").expect("docs");
    assert!(keys.iter().all(|key| documented.contains(&format!("`{key}`"))), "{keys:?}");
}

/// Checks a document against the schema of OASIS.
async fn valid_sarif(text: &str) {
    let script = "import json, sys, jsonschema\nschema = json.load(open('tests/lint/sarif-schema-2.1.0.json'))\n\
                  jsonschema.Draft4Validator(schema).validate(json.load(sys.stdin))\n";
    let python = Path::new("target/venv/bin/python");
    assert!(python.exists(), "{} is missing: run .ci/install (or `just setup`)", python.display());
    let mut command = tokio::process::Command::new(python);
    let mut child = command.args(["-c", script]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("python");
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).await.expect("write");
    let output = child.wait_with_output().await.expect("output");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn sarif_is_valid_and_its_fingerprints_survive_moved_lines() {
    let all = run(&["lint-django", "tests/lint/bad", "--strict", "--format", "sarif"]).await;
    assert_eq!(all.code, Some(1));
    valid_sarif(&all.stdout).await;
    let fingerprint = |text: &str| {
        let json: Value = serde_json::from_str(text).expect("JSON");
        let result = &json["runs"][0]["results"][0];
        let uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].clone();
        (result["partialFingerprints"].clone(), uri, result["locations"][0]["physicalLocation"]["region"]["startLine"].clone())
    };
    let folder = project(&[("a b/settings.py", BAD), ("later/a b/settings.py", &BAD.replace("\nSECURE", "\n\n# moved\nSECURE"))]);
    let before = lint(&folder, &["a b/settings.py", "--format", "sarif"]).await;
    valid_sarif(&before.stdout).await;
    let (first, uri, line) = fingerprint(&before.stdout);
    assert_eq!((uri, line), ("a%20b/settings.py".into(), 2.into()));
    let command =
        ran(wsprobe().args(["lint-django", "a b/settings.py", "--format", "sarif"]).current_dir(folder.path().join("later")))
            .await;
    let (second, _, line) = fingerprint(&command.stdout);
    assert_eq!((&first, line), (&second, 4.into()));
    let absolute = folder.path().canonicalize().expect("a path").join("a b/settings.py");
    let absolute = lint(&folder, &[&absolute.to_string_lossy(), "--format", "sarif"]).await;
    assert_eq!(fingerprint(&absolute.stdout).1, "a%20b/settings.py", "relative to where it runs");
}

#[tokio::test]
async fn github_gets_one_annotation_per_finding() {
    let folder = project(&[("odd,name:50%/settings.py", BAD)]);
    let ran = lint(&folder, &["odd,name:50%/settings.py", "--format", "github"]).await;
    let start = "::error file=odd%2Cname%3A50%25/settings.py,line=2,endLine=2,col=28,endColumn=47,title=PSH001 proxy-header-not-meta-key::";
    assert!(ran.stdout.starts_with(start), "{}", ran.stdout);
    assert!(ran.stdout.lines().count() == 1 && ran.stdout.contains("%0A"), "one line each: {}", ran.stdout);
}

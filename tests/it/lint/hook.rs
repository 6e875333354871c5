//! The pre-commit hook, run by the real pre-commit in a real repository.
//!
//! `language: rust` builds the whole program inside pre-commit, for minutes. Here the hook is the one of
//! `.pre-commit-hooks.yaml` in everything else (entry, arguments, types, excluded files), with the program that was just built.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::process::Command;

use crate::support::process::{Ran, ran};

const MANIFEST: &str = ".pre-commit-hooks.yaml";

fn pre_commit() -> PathBuf {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/pre-commit");
    assert!(program.exists(), "{} is missing: run .ci/install (or `just setup`)", program.display());
    program
}

/// A repository, and a home for what pre-commit keeps.
struct Repository {
    folder: TempDir,
    home: PathBuf,
}

impl Repository {
    async fn new(home: &Path) -> Self {
        let repository = Repository { folder: TempDir::new().expect("folder"), home: home.to_owned() };
        repository.git(&["init", "--quiet"]).await;
        repository
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        fs::write(path, text).expect("write");
    }

    async fn run(&self, program: &Path, args: &[&str]) -> Ran {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.folder.path()).env("PRE_COMMIT_HOME", &self.home);
        command.env("PRE_COMMIT_COLOR", "never").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        for variable in ["GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"] {
            command.env_remove(variable); // the tests may run inside a hook themselves
        }
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "Test").env(format!("GIT_{who}_EMAIL"), "test@example.com");
        }
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).kill_on_drop(true);
        ran(&mut command).await
    }

    async fn git(&self, args: &[&str]) -> Ran {
        let ran = self.run(Path::new("git"), args).await;
        assert_eq!(ran.code, Some(0), "git {args:?}: {}{}", ran.stdout, ran.stderr);
        ran
    }

    async fn commit(&self) -> Ran {
        self.git(&["add", "--all"]).await;
        self.run(Path::new("git"), &["commit", "--message", "change"]).await
    }
}

/// The manifest with the built program in place of one that pre-commit would build.
fn manifest() -> String {
    let text = fs::read_to_string(MANIFEST).expect(MANIFEST);
    let entry = format!("entry: {} lint-django", env!("CARGO_BIN_EXE_wsprobe"));
    let text = text.replacen("entry: wsprobe lint-django", &entry, 1).replacen("language: rust", "language: unsupported", 1);
    assert!(text.contains(&entry) && text.contains("language: unsupported"), "{text}");
    text
}

#[tokio::test]
async fn a_bad_setting_blocks_the_commit_until_it_is_right() {
    let home = TempDir::new().expect("folder");
    let hooks = Repository::new(home.path()).await;
    hooks.write(MANIFEST, &manifest());
    assert_eq!(hooks.commit().await.code, Some(0));
    let revision = hooks.git(&["rev-parse", "HEAD"]).await.stdout;

    let project = Repository::new(home.path()).await;
    let source = hooks.folder.path().display();
    project.write(
        ".pre-commit-config.yaml",
        &format!("repos:\n  - repo: {source}\n    rev: {}\n    hooks:\n      - id: wsprobe-lint-django\n", revision.trim()),
    );
    let installed = project.run(&pre_commit(), &["install"]).await;
    assert_eq!(installed.code, Some(0), "{}{}", installed.stdout, installed.stderr);

    let settings =
        |header: &str| format!("INSTALLED_APPS = []\nSECURE_SSL_REDIRECT = True\nSECURE_PROXY_SSL_HEADER = ({header})\n");
    project.write("config/production.py", &settings("'HTTP_CLOUDFRONT_FORWARDED_PROTO', 'https'"));
    let blocked = project.commit().await;
    let said = format!("{}{}", blocked.stdout, blocked.stderr);
    assert_eq!(blocked.code, Some(1), "{said}");
    for part in
        ["wsprobe lint-django", "Failed", "error[PSH005]", "config/production.py:3:28", "--header CloudFront-Forwarded-Proto"]
    {
        assert!(said.contains(part), "{part} is missing: {said}");
    }

    project.write("config/production.py", &settings("'HTTP_X_FORWARDED_PROTO', 'https'"));
    project.write("config/tests/settings.py", "INSTALLED_APPS = []\nALLOWED_HOSTS = 'x'\n");
    project.write("notes.txt", "SECURE_PROXY_SSL_HEADER = 'x'");
    let passed = project.commit().await;
    let said = format!("{}{}", passed.stdout, passed.stderr);
    assert!(passed.code == Some(0) && said.contains("Passed"), "{said}");
    assert!(project.git(&["status", "--porcelain"]).await.stdout.is_empty(), "the commit is made");
}

#[tokio::test]
async fn the_manifest_is_one_that_pre_commit_takes() {
    let mut command = Command::new(pre_commit());
    command.args(["validate-manifest", MANIFEST]).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let ran = ran(&mut command).await;
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
}

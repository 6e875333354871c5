//! Shared vocabulary of the tests.

pub mod alert;
pub mod alertmanager;
pub mod certs;
pub mod daemon;
pub mod diagnose;
pub mod dns;
pub mod docs;
pub mod front;
pub mod http;
pub mod machine;
pub mod network;
pub mod nginx;
pub mod notify;
pub mod probing;
pub mod process;
pub mod proxy;
pub mod reader;
pub mod source;
pub mod stage;
pub mod storm;
pub mod wire;

use std::path::{Path, PathBuf};

/// Fails with the install line when a program that a test needs is missing: a test never passes by not running.
pub fn require(program: &str, package: &str) {
    let found = std::env::var_os("PATH").is_some_and(|path| {
        let sbin = ["/usr/sbin".into(), "/sbin".into()];
        std::env::split_paths(&path).chain(sbin).any(|dir| dir.join(program).is_file())
    });
    assert!(
        found,
        "{program} is missing: apt-get install -y --no-install-recommends {package} (or `just setup` for all of them)"
    );
}

/// The interpreter that .ci/install made ready, with every Python part in it.
pub fn python() -> PathBuf {
    let python = std::env::var_os("WSPROBE_TEST_PYTHON")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python"), PathBuf::from);
    assert!(python.exists(), "{} is missing: run .ci/install (or `just setup`)", python.display());
    python
}

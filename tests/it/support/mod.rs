//! Shared vocabulary of the tests.

pub mod alert;
pub mod certs;
pub mod daemon;
pub mod diagnose;
pub mod dns;
pub mod front;
pub mod machine;
pub mod nginx;
pub mod source;
pub mod stage;

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
pub mod http;
pub mod network;
pub mod notify;
pub mod probing;
pub mod process;
pub mod proxy;
pub mod storm;
pub mod wire;

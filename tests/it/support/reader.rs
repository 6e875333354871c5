//! Someone who does what a page tells them: runs its commands in a folder of their own, and sees what it shows.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use regex::Regex;
use tempfile::TempDir;

use super::nginx::{free_port, listening};
use super::process::{Ran, Running, ran, shell, wsprobe};

/// A reader's folder and PATH: the program, and what he may not change here (`aws`, `systemctl`) as scripts that write down
/// how they were called.
pub struct Reader {
    pub folder: TempDir,
    pub server: String,
}

impl Reader {
    pub fn new() -> Reader {
        let reader = Reader { folder: TempDir::new().expect("folder"), server: format!("http://127.0.0.1:{}", free_port()) };
        reader.script("bin/wsprobe", "exec \"$REAL\" \"$@\"");
        reader.script("bin/sudo", "exec \"$@\"");
        for recorded in ["aws", "systemctl"] {
            reader.script(&format!("bin/{recorded}"), &format!("echo {recorded} \"$@\" >>calls"));
        }
        reader
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).and_then(|()| std::fs::write(&path, text)).expect("write");
        path
    }

    pub fn script(&self, name: &str, text: &str) {
        let path = self.write(name, &format!("#!/bin/sh\n{text}\n"));
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("permissions");
    }

    /// Runs a script with `sh -e`.
    pub async fn runs(&self, script: &str) -> Ran {
        let path = self.write("script.sh", script);
        let mut command = shell(&format!("REAL=$0 exec sh -e {}", path.display()));
        let bin = self.folder.path().join("bin");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
        command.current_dir(self.folder.path()).env("PATH", path).env("WSPROBE_SERVER", &self.server);
        ran(&mut command).await
    }

    pub async fn does(&self, script: &str) -> Ran {
        let ran = self.runs(script).await;
        assert_eq!(ran.code, Some(0), "{script}\n{}{}", ran.stdout, ran.stderr);
        ran
    }

    /// The daemon for one target of this URL, and a receiver that nobody answers for.
    pub async fn daemon(&self, name: &str, url: &str) -> Running {
        let listen = self.server.trim_start_matches("http://");
        let config = format!(
            "server: {{listen: '{listen}'}}\ndefaults: {{interval: 100ms, timeout: 2s}}\ntargets: [{{name: {name}, url: '{url}'}}]\n"
        );
        self.write("monitors.yaml", &config);
        self.starts().await
    }

    /// The daemon of the reader's `monitors.yaml`, once it listens.
    pub async fn starts(&self) -> Running {
        let mut command = wsprobe();
        command.arg("run").current_dir(self.folder.path());
        let daemon = Running::of(command);
        listening(self.server.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")).await;
        daemon
    }
}

/// What a page shows of a line, with what differs from run to run taken out: times, bars drawn of them, versions.
pub fn timeless(text: &str) -> String {
    let times = Regex::new(r"\d+(\.\d+)? ms|nginx/[\d.]+|\d{4}-\d\d-\d\dT[\d:.]+Z|[█▏▎▍▌▋▊▉]+").expect("pattern");
    times.replace_all(text, "…").split_whitespace().collect::<Vec<_>>().join(" ")
}

//! A throw-away Debian with a real systemd as PID 1, and a shell in it.
//!
//! `tests/tools/with-systemd` boots it; here is what a test says to it. It dies with the value.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Covers making the root file system, should this be the first machine on this host.
const BOOT: Duration = Duration::from_secs(600);
/// Bounds one command in the machine; the machine enforces it first, so that the journal can still be asked.
const COMMAND: Duration = Duration::from_secs(60);
/// What the shell prints after each command, followed by its exit status.
const ENDED: &str = "::ended ";

pub struct Machine {
    process: Child,
    shell: ChildStdin,
    lines: Receiver<String>,
    _files: tempfile::TempDir,
}

/// What a command in the machine did; stdout and stderr are one stream.
#[derive(Debug)]
pub struct Ran {
    pub status: i32,
    pub output: String,
}

impl Machine {
    /// Boots a machine with the binary under test as `/usr/bin/wsprobe`, its unit, and these files (path in the machine, content).
    pub fn boot(files: &[(&str, &str)]) -> Machine {
        super::require("debootstrap", "debootstrap");
        super::require("systemd-nspawn", "systemd-container");
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let dir = tempfile::tempdir().expect("a directory for the machine's files");
        let mut boot = Command::new(here.join("tests/tools/with-systemd"));
        boot.arg("-b").arg(concat!(env!("CARGO_BIN_EXE_wsprobe"), ":/usr/bin/wsprobe"));
        boot.arg("-c").arg(format!("{}:/etc/systemd/system/wsprobe.service", here.join("systemd/wsprobe.service").display()));
        for (n, (path, content)) in files.iter().enumerate() {
            let host = dir.path().join(n.to_string());
            std::fs::write(&host, content).expect("write a file for the machine");
            boot.arg("-c").arg(format!("{}:{path}", host.display()));
        }
        boot.args(["--", "bash"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut process = boot.spawn().expect("start tests/tools/with-systemd");
        let shell = process.stdin.take().expect("stdin is piped");
        let stdout = BufReader::new(process.stdout.take().expect("stdout is piped"));
        let (send, lines) = channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let mut machine = Machine { process, shell, lines, _files: dir };
        writeln!(machine.shell, "echo \"{ENDED}0\"").expect("a pipe holds this until the machine is up");
        machine.await_end("boot", BOOT);
        machine
    }

    /// Runs a bash script in the machine.
    pub fn run(&mut self, script: &str) -> Ran {
        let limit = COMMAND.as_secs();
        writeln!(self.shell, "timeout {limit} bash <<'END_OF_SCRIPT' 2>&1\n{script}\nEND_OF_SCRIPT\necho \"{ENDED}$?\"")
            .expect("the machine is up");
        let ran = self.await_end(script, COMMAND * 2);
        assert_ne!(ran.status, 124, "`{script}` did not end within {limit} s\n{}\n{}", ran.output, self.journal());
        ran
    }

    /// Runs a bash script that has to succeed; gives what it printed, trimmed.
    pub fn ok(&mut self, script: &str) -> String {
        let ran = self.run(script);
        assert_eq!(ran.status, 0, "`{script}` failed\n{}\n{}", ran.output, self.journal());
        ran.output.trim().to_owned()
    }

    /// Asks again and again until this bash condition holds; [`Machine::run`]'s limit applies.
    pub fn until(&mut self, condition: &str) {
        // `read` on a pipe that nobody writes to: a pause without a process of its own
        self.ok(&format!("until {condition}; do read -rt 0.05 <> <(:) || :; done"));
    }

    /// One property of the service, as systemd shows it.
    pub fn property(&mut self, name: &str) -> String {
        self.ok(&format!("systemctl show -P {name} wsprobe"))
    }

    /// What the service and systemd wrote about it.
    pub fn journal(&mut self) -> String {
        let limit = COMMAND.as_secs();
        let asked = writeln!(self.shell, "timeout {limit} journalctl -q -o short-monotonic -u wsprobe 2>&1; echo \"{ENDED}$?\"");
        if asked.is_err() {
            return "(the machine is down)".to_owned();
        }
        self.await_end("journalctl", COMMAND * 2).output
    }

    fn await_end(&mut self, what: &str, limit: Duration) -> Ran {
        let mut output = String::new();
        loop {
            match self.lines.recv_timeout(limit) {
                // a command whose output does not end in a newline shares its last line with the marker
                Ok(line) => match line.split_once(ENDED) {
                    Some((rest, status)) => {
                        output.push_str(rest);
                        return Ran { status: status.parse().expect("an exit status"), output };
                    }
                    None => writeln!(output, "{line}").expect("writing to a string"),
                },
                Err(RecvTimeoutError::Timeout) => panic!("`{what}`: nothing from the machine for {limit:?}\n{output}"),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("`{what}`: the machine is gone ({:?})\n{output}", self.process.wait())
                }
            }
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // An ended shell ends the machine; the script that booted it then takes away its mounts and groups.
        let _ = writeln!(self.shell, "exit");
        let _ = self.process.wait();
    }
}

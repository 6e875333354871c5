//! A real Alertmanager, alone: it gossips with nobody.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::daemon::{PATIENCE, get};
use super::nginx::{free_port, listening};
use super::require;

/// One that runs, on a port that it keeps when it is started again; it ends when this is dropped.
pub struct Alertmanager {
    pub port: u16,
    folder: TempDir,
    child: Option<Child>,
}

impl Alertmanager {
    pub async fn start() -> Self {
        require("prometheus-alertmanager", "prometheus-alertmanager");
        let mut alertmanager = Alertmanager { port: free_port(), folder: TempDir::new().expect("folder"), child: None };
        alertmanager.start_again().await;
        alertmanager
    }

    /// Starts it once more, with nothing of what it knew.
    pub async fn start_again(&mut self) {
        let config = self.folder.path().join("alertmanager.yml");
        std::fs::write(&config, "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n").expect("write");
        let data = TempDir::new_in(self.folder.path()).expect("folder").keep();
        self.child = Some(spawn(&config, &data, self.port));
        listening(self.port).await;
    }

    /// Ends it at once.
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.expect("it can be ended");
        }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The alerts that it takes for firing.
    pub async fn alerts(&self) -> Vec<Value> {
        let answer = get(&format!("{}/api/v2/alerts", self.url())).await;
        let (from, to) = (answer.find("\r\n\r\n").expect("a body"), answer.rfind(']').expect("a list"));
        serde_json::from_str(answer[from..=to].trim_start_matches(|c| c != '[')).unwrap_or_else(|e| panic!("{e}: {answer}"))
    }

    /// Waits until the alerts are so, and returns them.
    pub async fn until(&self, what: &str, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let mut again = tokio::time::interval(Duration::from_millis(50));
        let mut last = vec![];
        let waiting = async {
            loop {
                again.tick().await;
                last = self.alerts().await;
                if holds(&last) {
                    return;
                }
            }
        };
        if timeout(PATIENCE, waiting).await.is_err() {
            panic!("waited in vain: {what}; there is {last:#?}");
        }
        last
    }
}

fn spawn(config: &Path, data: &PathBuf, port: u16) -> Child {
    Command::new("prometheus-alertmanager")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.path={}", data.display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--cluster.listen-address=")
        .arg("--log.level=error")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("Alertmanager")
}

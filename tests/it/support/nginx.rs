//! A real nginx, and ports for what runs beside it.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::daemon::PATIENCE;
use super::require;

/// Starts nginx in this folder with this configuration, which may write into `tmp`; it ends when the child is dropped.
pub fn start(folder: &Path, configuration: &str) -> Child {
    require("nginx", "nginx-light");
    std::fs::create_dir_all(folder.join("tmp")).expect("folder");
    // one process, so that ending it ends all of it
    std::fs::write(folder.join("nginx.conf"), format!("master_process off;\n{configuration}")).expect("write");
    Command::new("nginx")
        .args(["-p", &folder.display().to_string(), "-c", "nginx.conf", "-e", "stderr"])
        .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("nginx")
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

/// Waits until something listens on the port.
pub async fn listening(port: u16) {
    let mut again = tokio::time::interval(Duration::from_millis(50));
    let waiting = async {
        while TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await.is_err() {
            again.tick().await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("nothing listens on port {port}"));
}

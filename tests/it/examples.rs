//! The health endpoints that are handed out for copying: each under the server that its users have, healthy to `wsprobe check`.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::support::nginx::{free_port, listening};
use crate::support::process::run;
use crate::support::{python, require};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A command in the folder of this example.
fn in_example(name: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root().join("examples").join(name)).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Starts it, and checks what it serves at this port: the promised text, and a clean close.
async fn is_healthy(mut server: Command, port: u16) {
    let server = server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn();
    let _server = server.expect("it starts");
    listening(port).await;
    let check = run(&["check", "--url", &format!("ws://127.0.0.1:{port}/ws/health/"), "--output", "json"]).await;
    assert_eq!(check.code, Some(0), "{}{}", check.stdout, check.stderr);
    let outcome: Value = serde_json::from_str(&check.stdout).expect("JSON");
    assert_eq!(outcome[0]["message"]["text"], r#"{"status":"ok","message":"WebSocket healthy"}"#);
    assert_eq!(outcome[0]["close"]["code"], 1000, "{outcome:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn django_channels_under_daphne() {
    let port = free_port();
    let mut daphne = in_example("django", python());
    daphne.args(["-m", "daphne", "-b", "127.0.0.1", "-p", &port.to_string(), "project.asgi:application"]);
    is_healthy(daphne, port).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn django_channels_under_uvicorn() {
    let port = free_port();
    let mut uvicorn = in_example("django", python());
    uvicorn.args(["-m", "uvicorn", "--port", &port.to_string(), "--lifespan", "off", "project.asgi:application"]);
    is_healthy(uvicorn, port).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fastapi_under_uvicorn() {
    let port = free_port();
    let mut uvicorn = in_example("fastapi", python());
    uvicorn.args(["-m", "uvicorn", "--port", &port.to_string(), "main:app"]);
    is_healthy(uvicorn, port).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_with_ws() {
    require("node", "nodejs");
    let modules = root().join("target/node/node_modules");
    assert!(modules.join("ws").exists(), "ws is missing: run .ci/install (or `just setup`)");
    let port = free_port();
    let mut node = in_example("node", "node");
    node.arg("server.js").env("PORT", port.to_string()).env("NODE_PATH", modules);
    is_healthy(node, port).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn axum() {
    let target = root().join("target/examples");
    let mut build = in_example("axum", env!("CARGO"));
    build.args(["build", "--locked", "--quiet"]).env("CARGO_TARGET_DIR", &target);
    let built = build.output().await.expect("cargo");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let port = free_port();
    let mut server = in_example("axum", target.join("debug/health"));
    server.env("PORT", port.to_string());
    is_healthy(server, port).await;
}

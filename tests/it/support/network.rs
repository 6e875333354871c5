//! A network of a test's own: namespaces that die with the shell in them, and every process with it, so that a firewall, a
//! route or a cable can fail without anybody else noticing. Needs root.

use serde_json::Value;

use super::process::{ran, shell};
use super::require;

/// What every script can use. `beside` makes a second host, 10.99.0.2, on a cable to this one, 10.99.0.1; `there` runs
/// something on it.
const PRELUDE: &str = r#"
set -eu
ip link set lo up
ours() { readlink /proc/self/ns/net; }
beside() {
    unshare --net sleep 60 >/dev/null 2>&1 & peer=$!
    until [ "$(readlink /proc/$peer/ns/net)" != "$(ours)" ]; do :; done
    ip link add va type veth peer name vb netns $peer
    ip addr add 10.99.0.1/24 dev va
    ip link set va up
    there sh -ec 'ip link set lo up; ip addr add 10.99.0.2/24 dev vb; ip link set vb up'
    there nft 'add table inet f; add chain inet f i { type filter hook input priority 0; }'
}
there() { nsenter --target $peer --net "$@"; }
# a health endpoint on this address, after `there` on the other host
endpoint() {
    mkfifo "$TMP/listening"
    "${@:2}" "$0" endpoint --listen "$1" >"$TMP/listening" 2>/dev/null &
    read -r _ <"$TMP/listening"
}
"#;

/// Runs `wsprobe check` of this URL with a timeout of 700 ms in a network that the script has set up. Gives the outcome.
pub async fn check(script: &str, url: &str) -> Value {
    require("ip", "iproute2");
    require("nft", "nftables");
    require("unshare", "util-linux");
    let folder = tempfile::tempdir().expect("a folder");
    let script = format!("{PRELUDE}\n{script}\n\"$0\" check --url '{url}' --timeout 700ms --output json || true");
    let mut command = shell("exec unshare --net --mount --pid --fork --kill-child --mount-proc bash -c \"$SCRIPT\" \"$0\"");
    let ran = ran(command.env("SCRIPT", script).env("TMP", folder.path())).await;
    let outcome = |text: &str| Some(serde_json::from_str::<Value>(text).ok()?.as_array()?.first()?.clone());
    outcome(&ran.stdout).unwrap_or_else(|| panic!("no outcome: {}\n{}", ran.stdout, ran.stderr))
}

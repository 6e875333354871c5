//! docs/deploy-pipeline.md, played: every script on the page is taken out of it and run, through deploys that go well and
//! deploys that do not. The only thing changed in them is how long they wait.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use serde_yaml::Value as Yaml;
use tempfile::TempDir;

use crate::reports::read_junit;
use crate::support::docs::blocks;
use crate::support::front::{Answer, Front, django_redirect};
use crate::support::process::{Ran, ran, shell};
use crate::support::python;

const PAGE: &str = "docs/deploy-pipeline.md";

/// The block of this language that has this in it, its minutes made seconds.
fn block(language: &str, part: &str) -> String {
    let fitting = blocks(PAGE).into_iter().filter(|b| b.language == language && b.text.contains(part));
    let [block] =
        fitting.collect::<Vec<_>>().try_into().unwrap_or_else(|_| panic!("{PAGE} has one {language} block with {part}"));
    block.text.replace("--wait 3m", "--wait 3s").replace("--for 5m", "--for 1500ms").replace("--interval 5s", "--interval 150ms")
}

/// What a deploy makes of the endpoint.
#[derive(Clone, Copy)]
enum Deploy {
    Well,
    /// Redirected from this probe after the deploy on.
    RedirectsFrom(usize),
}

/// A runner's folder, with the endpoint that is deployed: `./deploy.sh` and `./rollback.sh`, and `wsprobe`, `aws` on the PATH.
/// Whatever is called is written down.
struct Runner {
    folder: TempDir,
    front: Front,
}

impl Runner {
    async fn with(deploy: Deploy) -> Runner {
        let folder = TempDir::new().expect("folder");
        let deployed = folder.path().join("deployed");
        let since = AtomicUsize::new(0);
        let front = Front::answering(move |head| match deploy {
            Deploy::RedirectsFrom(n) if deployed.exists() => {
                let probe = if head.is_upgrade() { since.fetch_add(1, Relaxed) } else { since.load(Relaxed) };
                if probe >= n { django_redirect("https://api.example.com/ws/health/") } else { Answer::Healthy }
            }
            _ => Answer::Healthy,
        })
        .await;
        let runner = Runner { folder, front };
        runner.script("deploy.sh", "echo deploy >>calls; touch deployed");
        runner.script("rollback.sh", "echo rollback >>calls; rm deployed");
        runner.script("bin/aws", "echo aws \"$@\" >>calls");
        let silence = "if [ \"$1\" = silence ]; then echo \"$@\" >>calls; [ \"$2\" = expire ] || echo 3f9c2a71b0; else exec \"$REAL\" \"$@\"; fi";
        runner.script("bin/wsprobe", silence);
        runner
    }

    fn script(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        let text = if text.starts_with("#!") { text.to_owned() } else { format!("#!/bin/sh\n{text}\n") };
        std::fs::write(&path, text).expect("write");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("permissions");
        path
    }

    /// Runs a script with `sh -e`, as pipelines do.
    async fn runs(&self, script: &str) -> Ran {
        let path = self.script("script.sh", script);
        let mut command = shell(&format!("REAL=$0 exec sh -e {}", path.display()));
        command.current_dir(self.folder.path()).env("WS_URL", self.front.url());
        let path = format!("{}:{}", self.folder.path().join("bin").display(), std::env::var("PATH").unwrap_or_default());
        ran(command.env("PATH", path).env("DEPLOYMENT_ID", "d-1A2B").env("HOOK_ID", "hook-7")).await
    }

    /// What was called, in order.
    fn calls(&self) -> Vec<String> {
        let calls = std::fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    fn deployed(self) -> Runner {
        std::fs::write(self.folder.path().join("deployed"), "").expect("write");
        self
    }
}

/// The commands of a job in a YAML block.
fn commands(part: &str, at: &[&str]) -> String {
    let yaml: Yaml = serde_yaml::from_str(&block("yaml", part)).expect("YAML");
    let step = |value: &Yaml, key: &str| value.get(key).or_else(|| value.get(key.parse::<usize>().ok()?)).expect(key).clone();
    match at.iter().fold(yaml, |value, key| step(&value, key)) {
        Yaml::String(script) => script,
        Yaml::Sequence(lines) => lines.iter().map(|line| format!("{}\n", line.as_str().expect("a command"))).collect(),
        other => panic!("no commands: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_is_the_whole_smoke_test() {
    let smoke_test = blocks(PAGE).into_iter().find(|b| b.language == "sh").expect("the first block").text;
    let healthy = Runner::with(Deploy::Well).await.deployed();
    let ran = healthy.runs(&smoke_test).await;
    assert_eq!(ran.code, Some(0), "basic health: {}{}", ran.stdout, ran.stderr);
    let outage = Runner::with(Deploy::RedirectsFrom(0)).await.deployed();
    let ran = outage.runs(&smoke_test).await;
    assert_eq!(ran.code, Some(1), "a redirect: {}{}", ran.stdout, ran.stderr);
    for part in ["301 Moved Permanently to https://api.example.com/ws/health/", "    fix ", "    checked "] {
        assert!(ran.stdout.contains(part), "{part} is missing in\n{}", ran.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_goes_well_ends_with_its_silence_and_is_not_taken_back() {
    let runner = Runner::with(Deploy::Well).await;
    let ran = runner.runs(&block("sh", "# deploy-watched.sh")).await;
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(runner.calls(), ["silence add --for 15m --reason deploy", "deploy", "silence expire 3f9c2a71b0"]);
    assert!(ran.stdout.contains("✔ gate passed after "), "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_breaks_only_after_the_check_fails_in_the_gate_and_is_taken_back() {
    let runner = Runner::with(Deploy::RedirectsFrom(4)).await;
    let ran = runner.runs(&block("sh", "# deploy-watched.sh")).await;
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(runner.calls(), ["silence add --for 15m --reason deploy", "deploy", "rollback", "silence expire 3f9c2a71b0"]);
    assert!(ran.stdout.contains("✘ gate failed after ") && ran.stdout.contains("upgrade_redirected"), "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_of_which_nothing_is_known_is_left_to_a_person() {
    let runner = Runner::with(Deploy::Well).await;
    let ran = runner.runs(&format!("export WS_URL=https://not-a-websocket/\n{}", block("sh", "# deploy-watched.sh"))).await;
    assert_eq!(ran.code, Some(2), "{}{}", ran.stdout, ran.stderr);
    assert!(!runner.calls().contains(&"rollback".to_owned()), "{:?}", runner.calls());
    assert!(ran.stderr.contains("look before you roll back"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_steps_for_github_and_gitlab_fail_with_the_deploy_and_leave_their_reports() {
    let github = commands("runs-on", &["jobs", "deploy", "steps", "0", "run"]);
    let gitlab = commands("artifacts", &["websockets", "script"]);
    for (deploy, code) in [(Deploy::Well, 0), (Deploy::RedirectsFrom(4), 1)] {
        let runner = Runner::with(deploy).await.deployed();
        let ran = runner.runs(&github).await;
        assert_eq!(ran.code, Some(code), "{}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.stdout.contains("::error title=wsprobe"), code == 1, "{}", ran.stdout);

        let runner = Runner::with(deploy).await.deployed();
        let ran = runner.runs(&gitlab).await;
        assert_eq!(ran.code, Some(code), "{}{}", ran.stdout, ran.stderr);
        for (file, failed) in [("check.xml", false), ("gate.xml", code == 1)] {
            let xml = std::fs::read_to_string(runner.folder.path().join(file)).expect(file);
            let report = read_junit(&xml).await;
            assert_eq!(report[0]["cases"][0]["result"].is_null(), !failed, "{file}: {report:#}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn codedeploy_is_told_how_it_went() {
    let location = commands("ValidateService", &["hooks", "ValidateService", "0", "location"]);
    assert!(block("sh", "# verify-websockets.sh").contains(&location), "the hook names the script: {location}");
    let function = commands("AfterAllowTraffic", &["Hooks", "0", "AfterAllowTraffic"]);
    assert!(block("python", "def handler").contains(&function.replace('-', "_")), "and the function: {function}");
    for (deploy, code, status) in [(Deploy::Well, 0, "Succeeded"), (Deploy::RedirectsFrom(4), 1, "Failed")] {
        let runner = Runner::with(deploy).await.deployed();
        let ran = runner.runs(&block("sh", "# codedeploy-hook.sh")).await;
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
        let call = "aws deploy put-lifecycle-event-hook-execution-status --deployment-id d-1A2B --lifecycle-event-hook-execution-id hook-7 --status ";
        assert_eq!(runner.calls(), [format!("{call}{status}")]);

        let runner = Runner::with(deploy).await.deployed();
        let ran = runner.runs(&block("sh", "# verify-websockets.sh")).await;
        assert_eq!(ran.code, Some(code), "{}{}", ran.stdout, ran.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_function_of_the_hook_hands_both_ids_on() {
    let folder = TempDir::new().expect("folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("write");
    write("hook.py", &block("python", "def handler"));
    write(
        "boto3.py",
        "class client:\n    def __init__(self, name): assert name == 'ecs'\n    def run_task(self, **task): print(task)\n",
    );
    let event = "{'DeploymentId': 'd-1A2B', 'LifecycleEventHookExecutionId': 'hook-7'}";
    let mut command = tokio::process::Command::new(python());
    command.args(["-c", &format!("import hook; hook.handler({event}, None)")]).current_dir(folder.path());
    let output = command.env("CLUSTER", "c").env("SUBNETS", "subnet-1,subnet-2").output().await.expect("python");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let hook = block("sh", "# codedeploy-hook.sh");
    for (name, value) in [("DEPLOYMENT_ID", "d-1A2B"), ("HOOK_ID", "hook-7")] {
        assert!(said.contains(&format!("{{'name': '{name}', 'value': '{value}'}}")) && hook.contains(name), "{said}");
    }
    assert!(said.contains("['subnet-1', 'subnet-2']"), "{said}");
}

#[test]
fn every_block_of_the_page_is_played_here() {
    let told = blocks(PAGE).len();
    assert_eq!(told, 9, "a block was added to {PAGE}: play it in {}", Path::new(file!()).display());
}

//! Metrics in CloudWatch: what AWS's own client reads back from a server that speaks its protocol, and what hosts hand out
//! as credentials.

mod alarms;
mod credentials;

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use wsprobe::endpoint::{Control, Endpoint, Faults, Options};

use crate::support::daemon::{PATIENCE, call, get};
use crate::support::nginx::{free_port, listening};
use crate::support::process::{Running, configured, wsprobe};
use crate::support::python;

const SECRET: &str = "hunter2/hunter2+hunter2";

async fn endpoint() -> (String, Control) {
    let endpoint = Endpoint::bind(Options::default()).await.expect("endpoint");
    let (url, control) = (endpoint.url(), endpoint.control());
    tokio::spawn(endpoint.run(CancellationToken::new()));
    (url, control)
}

/// The program, watching this URL, with nothing of AWS in its environment but these variables.
struct Prober {
    running: Running,
    base: String,
    _folder: TempDir,
}

impl Prober {
    async fn start(url: &str, cloudwatch: &str, env: &[(&str, &str)]) -> Self {
        let (listen, every) = (format!("127.0.0.1:{}", free_port()), "{interval: 100ms, timeout: 100ms}");
        let (folder, file) = configured(&format!(
            "server: {{listen: '{listen}'}}\nstorage: {{path: ':memory:'}}\ndefaults: {every}\n\
             targets: [{{name: prod, url: '{url}'}}]\nalerts: []\ncloudwatch: {cloudwatch}\n"
        ));
        let mut command = wsprobe();
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
            command.env_remove(name);
        }
        command.env("HOME", folder.path()).envs(env.iter().copied()).args(["run", "--config", &file]);
        let running = Running::of(command);
        Prober { running, base: format!("http://{listen}"), _folder: folder }
    }

    /// Waits until a series has at least this value.
    async fn until(&self, series: &str, least: f64) -> String {
        let asking = async {
            loop {
                let metrics = match tokio::net::TcpStream::connect(self.base.trim_start_matches("http://")).await {
                    Ok(_) => get(&format!("{}/metrics", self.base)).await,
                    Err(_) => String::new(), // not yet
                };
                let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse::<f64>().ok());
                if value.is_some_and(|value| value >= least) {
                    return metrics;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{series} never reaches {least}"))
    }

    /// It goes on probing and ends in time although nobody answers it, and says what is lost.
    async fn goes_on_and_ends_in_time(self) {
        self.until("wsprobe_probes_total{target=\"prod\"}", 20.0).await;
        let begun = tokio::time::Instant::now();
        let log = self.stop().await;
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        assert!(log.contains("metrics that CloudWatch has not got are gone with the process"), "{log}");
    }

    /// Ends it, and returns everything it logged.
    async fn stop(mut self) -> String {
        self.running.signal(rustix::process::Signal::TERM);
        let log = self.running.stderr.rest().await;
        assert_eq!(self.running.code(PATIENCE).await, Some(0), "{log}");
        log
    }
}

/// moto's server, which speaks the protocol of CloudWatch and is read with boto3.
struct Moto {
    base: String,
    _child: Child,
}

impl Moto {
    async fn start() -> Self {
        let port = free_port();
        let mut server = Command::new(python());
        server.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let child = server.spawn().expect("moto");
        listening(port).await;
        Moto { base: format!("http://127.0.0.1:{port}"), _child: child }
    }

    /// What boto3 answers to an expression over `cw`.
    async fn ask(&self, expression: &str) -> Value {
        let script = format!(
            "import boto3, datetime, json\n\
             aws = {{'endpoint_url': '{}', 'region_name': 'eu-west-1', 'aws_access_key_id': 'x', 'aws_secret_access_key': 'y'}}\n\
             cw = boto3.client('cloudwatch', **aws)\n\
             def sums(name, **dimensions):\n    \
                 now = datetime.datetime.now(datetime.timezone.utc)\n    \
                 found = cw.get_metric_statistics(Namespace='WebSocketHealth', MetricName=name, Period=60,\n        \
                     Dimensions=[{{'Name': k, 'Value': v}} for k, v in dimensions.items()],\n        \
                     StartTime=now - datetime.timedelta(minutes=5), EndTime=now + datetime.timedelta(minutes=5),\n        \
                     Statistics=['Sum', 'SampleCount', 'Minimum', 'Maximum'])['Datapoints']\n    \
                 return [sum(p['Sum'] for p in found), sum(p['SampleCount'] for p in found),\n        \
                     min([p['Minimum'] for p in found], default=None), max([p['Maximum'] for p in found], default=None)]\n\
             print(json.dumps({expression}, default=str))",
            self.base
        );
        let output = Command::new(python()).args(["-c", &script]).output().await.expect("boto3");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// Calls its own API.
    async fn control(&self, method: &str, path: &str, body: &str) -> Value {
        let url = format!("{}/moto-api/{path}", self.base);
        let answer = call(method, &url, &[("Content-Type", "text/plain")], body).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
        serde_json::from_str(body).expect("JSON")
    }

    /// Everything that it was sent is gone.
    async fn forget(&self) {
        self.control("POST", "reset", "").await;
    }

    /// Whether it answers only who is allowed to ask.
    async fn checks_signatures_from_now_on(&self, checks: bool) {
        self.control("POST", "reset-auth", if checks { "0" } else { "inf" }).await;
    }

    /// The roles that were assumed, in their order.
    async fn assumed_roles(&self) -> Value {
        self.control("GET", "data.json", "").await["sts"]["AssumedRole"].clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn boto3_reads_back_what_the_daemon_saw_of_an_outage_and_zeros_before_it() {
    let moto = Moto::start().await;
    let (url, control) = endpoint().await;
    let keys = [("AWS_ACCESS_KEY_ID", "AKIDTEST"), ("AWS_SECRET_ACCESS_KEY", SECRET)];
    let settings = format!("{{region: eu-west-1, endpoint_url: '{}', every: 1s}}", moto.base);
    let prober = Prober::start(&url, &settings, &keys).await;
    prober.until("wsprobe_cloudwatch_last_success_timestamp_seconds ", 1.0).await;
    let before =
        moto.ask("[sums('Redirects', Target='prod'), sums('Failures', Target='prod', Reason='upgrade_redirected')]").await;
    assert_eq!(before[0][0], 0.0, "{before}");
    assert!(before[0][1].as_f64() > Some(0.0), "a zero is a number: {before}");
    assert_eq!(before[1][1], 0.0, "a reason that was never seen costs nothing: {before}");

    control.set(Faults::parse("redirect-301").expect("fault"));
    prober.until("wsprobe_probe_failures_total{target=\"prod\",reason=\"upgrade_redirected\"}", 3.0).await;
    let metrics = prober.until("wsprobe_cloudwatch_requests_total ", 3.0).await;
    assert!(metrics.contains("wsprobe_cloudwatch_dropped_total 0\n"), "{metrics}");
    let log = prober.stop().await; // the last period is sent at the end
    let after = moto
        .ask(
            "[sums(name, Target='prod') for name in ('Success', 'Redirects', 'ConnectionFailures', 'HealthFailures', 'Probes', \
             'Inconclusive', 'Duration')] + [sums('Failures', Target='prod', Reason='upgrade_redirected'), \
             sums('PhaseDuration', Target='prod', Phase='connect')]",
        )
        .await;
    let of = |metric: usize, statistic: usize| after[metric][statistic].as_f64().unwrap_or(-1.0);
    let (success, redirects, probes) = (0, 1, 4);
    assert_eq!((of(success, 2), of(success, 3)), (0.0, 1.0), "some failed, some did not: {after}");
    assert!(of(redirects, 0) >= 3.0, "{after}");
    assert_eq!(of(success, 1) - of(success, 0), of(redirects, 0), "every failure was a redirect: {after}");
    assert_eq!((of(2, 0), of(3, 0), of(5, 0)), (0.0, 0.0, 0.0), "{after}");
    assert_eq!((of(success, 1), of(6, 1)), (of(probes, 0), of(probes, 0)), "each probe has a verdict and a duration: {after}");
    assert!(of(6, 2) > 0.0 && of(6, 3) < 10.0, "in seconds: {after}");
    assert_eq!(of(7, 0), of(redirects, 0), "{after}");
    assert!(of(8, 1) >= of(redirects, 0), "{after}");
    let names = moto.ask("sorted({m['MetricName'] for m in cw.list_metrics()['Metrics']})").await;
    assert!(!names.to_string().contains("SessionDuration"), "what is never measured is not sent: {names}");
    assert!(!log.contains("hunter2") && !metrics.contains("hunter2"), "{log}");
}

/// Something that answers like a part of AWS, and remembers what it was asked.
struct Stub {
    base: String,
    asked: mpsc::UnboundedReceiver<Asked>,
    faults: Arc<Mutex<Vec<(u16, &'static str)>>>,
}

struct Asked {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: String,
}

type Told = (mpsc::UnboundedSender<Asked>, Arc<Mutex<Vec<(u16, &'static str)>>>);

impl Stub {
    async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let base = format!("http://{}", listener.local_addr().expect("address"));
        let (tell, asked) = mpsc::unbounded_channel();
        let faults: Arc<Mutex<Vec<(u16, &'static str)>>> = Arc::default();
        let answer = async |State((tell, faults)): State<Told>, method: Method, uri: Uri, headers: HeaderMap, body: String| {
            let path = uri.path().to_owned();
            let text = answer_to(&method, &path, &headers);
            let _ = tell.send(Asked { method, path: path.clone(), headers, body });
            let fault = if path == "/" { faults.lock().expect("lock").pop() } else { None };
            match fault {
                Some((status, code)) => {
                    let body = format!("<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>");
                    (StatusCode::from_u16(status).expect("status"), body)
                }
                None => text.map_or((StatusCode::UNAUTHORIZED, String::new()), |text| (StatusCode::OK, text)),
            }
        };
        let routes = Router::new().fallback(answer).with_state((tell, faults.clone()));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Stub { base, asked, faults }
    }

    /// The next request of this path.
    async fn next(&mut self, path: &str) -> Asked {
        let waiting = async {
            loop {
                let asked = self.asked.recv().await.expect("stub");
                if asked.path == path {
                    return asked;
                }
            }
        };
        timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{path} is never asked for"))
    }
}

/// Instance metadata (version 2 only), a container's credentials, and the API, which takes everything.
fn answer_to(method: &Method, path: &str, headers: &HeaderMap) -> Option<String> {
    let has = |name: &str, value: &str| headers.get(name).is_some_and(|found| found == value);
    let keys = |key: &str, expires: &str| {
        json!({"AccessKeyId": key, "SecretAccessKey": SECRET, "Token": format!("{key}-token"), "Expiration": expires}).to_string()
    };
    match path {
        "/" => Some(String::new()),
        "/latest/api/token" => {
            (method == Method::PUT && has("x-aws-ec2-metadata-token-ttl-seconds", "21600")).then(|| "imds-token".to_owned())
        }
        "/container" => has("authorization", "container-token").then(|| keys("AKIDCONTAINER", "2099-01-01T00:00:00Z")),
        _ if !has("x-aws-ec2-metadata-token", "imds-token") => None,
        "/latest/meta-data/placement/region" => Some("eu-central-1".to_owned()),
        "/latest/meta-data/iam/security-credentials/" => Some("prober\n".to_owned()),
        // they have ended already, so that each request needs new ones
        "/latest/meta-data/iam/security-credentials/prober" => Some(keys("AKIDINSTANCE", "2001-01-01T00:00:00Z")),
        _ => None,
    }
}

fn header<'a>(asked: &'a Asked, name: &str) -> &'a str {
    asked.headers.get(name).map_or("", |value| value.to_str().expect("text"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_signs_with_its_role_for_its_own_region_and_renews_before_the_end() {
    let mut aws = Stub::listen().await;
    let (url, _control) = endpoint().await;
    let env = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", aws.base.as_str())];
    let prober = Prober::start(&url, &format!("{{endpoint_url: '{}', every: 1s}}", aws.base), &env).await;
    for _ in 0..2 {
        aws.next("/latest/meta-data/iam/security-credentials/prober").await;
        let put = aws.next("/").await;
        assert_eq!((put.method.as_str(), header(&put, "x-amz-security-token")), ("POST", "AKIDINSTANCE-token"));
        let authorization = header(&put, "authorization");
        assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDINSTANCE/20"), "{authorization}");
        assert!(authorization.contains("/eu-central-1/monitoring/aws4_request, "), "{authorization}");
        assert!(put.body.starts_with("Action=PutMetricData&Version=2010-08-01&Namespace=WebSocketHealth&"), "{}", put.body);
    }
    assert!(!prober.stop().await.contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_and_a_profile_sign_with_their_own_keys() {
    let mut aws = Stub::listen().await;
    let (url, _control) = endpoint().await;
    let settings = format!("{{region: us-east-1, endpoint_url: '{}', every: 1s}}", aws.base);
    let container = format!("{}/container", aws.base);
    let env =
        [("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.as_str()), ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "container-token")];
    let prober = Prober::start(&url, &settings, &env).await;
    let put = aws.next("/").await;
    assert!(header(&put, "authorization").contains("Credential=AKIDCONTAINER/"), "{}", header(&put, "authorization"));
    prober.stop().await;

    let folder = TempDir::new().expect("folder");
    let file = folder.path().join("credentials");
    let text =
        format!("[default]\naws_access_key_id=AKIDDEFAULT\n[ops]\naws_access_key_id=AKIDOPS\naws_secret_access_key={SECRET}\n");
    std::fs::write(&file, text).expect("write");
    let file = file.display().to_string();
    let prober = Prober::start(&url, &settings, &[("AWS_PROFILE", "ops"), ("AWS_SHARED_CREDENTIALS_FILE", &file)]).await;
    let ours = async {
        loop {
            let put = aws.next("/").await;
            if header(&put, "authorization").contains("Credential=AKIDOPS/") {
                break;
            }
        }
    };
    timeout(PATIENCE, ours).await.expect("signed by the profile");
    prober.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_credentials_it_goes_on_probing_and_says_what_to_do() {
    let (url, _control) = endpoint().await;
    let env = [("AWS_EC2_METADATA_DISABLED", "true")];
    let prober = Prober::start(&url, "{region: us-east-1, every: 1s}", &env).await;
    let metrics = prober.until("wsprobe_cloudwatch_failures_total{reason=\"credentials\"}", 1.0).await;
    assert!(!metrics.contains("wsprobe_cloudwatch_last_success"), "{metrics}");
    prober.until("wsprobe_probes_total{target=\"prod\"}", 20.0).await;
    let log = prober.stop().await;
    assert!(log.contains("no AWS credentials: none in the environment"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_pass_is_sent_again_and_what_is_refused_is_dropped_and_counted() {
    let mut aws = Stub::listen().await;
    *aws.faults.lock().expect("lock") = vec![(400, "InvalidParameterValue"), (503, "ServiceUnavailable"), (400, "Throttling")];
    let (url, _control) = endpoint().await;
    let keys = [("AWS_ACCESS_KEY_ID", "AKIDTEST"), ("AWS_SECRET_ACCESS_KEY", SECRET)];
    let settings = format!("{{region: eu-west-1, endpoint_url: '{}', every: 1s}}", aws.base);
    let prober = Prober::start(&url, &settings, &keys).await;
    let bodies = [aws.next("/").await.body, aws.next("/").await.body, aws.next("/").await.body, aws.next("/").await.body];
    assert!(bodies[0] == bodies[1] && bodies[1] == bodies[2], "the same is sent until it is taken or refused");
    assert_ne!(bodies[2], bodies[3], "what was refused is not sent again");
    let metrics = prober.until("wsprobe_cloudwatch_last_success_timestamp_seconds ", 1.0).await;
    for (reason, count) in [("throttled", 1), ("server_error", 1), ("refused", 1), ("network", 0)] {
        let line = format!("wsprobe_cloudwatch_failures_total{{reason=\"{reason}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
    assert!(!metrics.contains("wsprobe_cloudwatch_dropped_total 0\n"), "{metrics}");
    let log = prober.stop().await;
    assert!(log.contains("InvalidParameterValue") && !log.contains("hunter2"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_datum_bears_the_beginning_of_its_period_and_long_periods_are_not_stored_by_the_second() {
    let mut aws = Stub::listen().await;
    let (url, _control) = endpoint().await;
    let keys = [("AWS_ACCESS_KEY_ID", "AKIDTEST"), ("AWS_SECRET_ACCESS_KEY", SECRET)];
    let prober = Prober::start(&url, &format!("{{region: eu-west-1, endpoint_url: '{}', every: 1s}}", aws.base), &keys).await;
    for _ in 0..2 {
        let put = aws.next("/").await;
        let (body, signed) = (&put.body, header(&put, "x-amz-date"));
        let now = wsprobe::time::Clock::system().now();
        let (_, stamp) = body.split_once("&MetricData.member.1.Timestamp=").expect("a timestamp");
        let stamp = stamp.split('&').next().expect("a value").replace("%3A", ":");
        assert!(stamp.ends_with(".000Z"), "a whole second: {stamp}");
        let began = humantime::parse_rfc3339(&stamp).expect("a time").into();
        assert!(now.since(began) >= Duration::from_secs(1), "sent at {now}, after the period from {stamp}");
        let basic = |time: &str| time.split('.').next().unwrap_or_default().replace(['-', ':'], "") + "Z";
        assert!((basic(&stamp)..=basic(&now.to_string())).contains(&signed.to_owned()), "signed for {signed}, read at {now}");
        assert!(body.contains("&MetricData.member.1.StorageResolution=1&"), "{body}");
    }
    prober.stop().await;
    let mut aws = Stub::listen().await;
    let prober = Prober::start(&url, &format!("{{region: eu-west-1, endpoint_url: '{}', every: 1m}}", aws.base), &keys).await;
    prober.until("wsprobe_probes_total{target=\"prod\"}", 1.0).await;
    prober.stop().await;
    let last = aws.next("/").await.body; // what there is at the end is sent
    assert!(last.contains("=Success&") && !last.contains("StorageResolution"), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_everything_is_left_alone_for_longer_and_longer() {
    let aws = Stub::listen().await;
    *aws.faults.lock().expect("lock") = vec![(503, "ServiceUnavailable"); 10_000];
    let (url, _control) = endpoint().await;
    let keys = [("AWS_ACCESS_KEY_ID", "AKIDTEST"), ("AWS_SECRET_ACCESS_KEY", SECRET)];
    let prober = Prober::start(&url, &format!("{{region: eu-west-1, endpoint_url: '{}', every: 1s}}", aws.base), &keys).await;
    prober.until("wsprobe_cloudwatch_requests_total ", 1.0).await;
    let metrics = prober.until("wsprobe_probes_total{target=\"prod\"}", 40.0).await;
    let begun = metrics.lines().find_map(|line| line.strip_prefix("wsprobe_cloudwatch_requests_total ")?.parse::<f64>().ok());
    assert!(begun < Some(20.0), "in four seconds: {begun:?}");
    prober.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_success_the_next_wait_is_short_again() {
    let mut aws = Stub::listen().await;
    let faults = aws.faults.clone();
    let fail = |times| *faults.lock().expect("lock") = vec![(503, "ServiceUnavailable"); times];
    fail(4);
    let (url, _control) = endpoint().await;
    let keys = [("AWS_ACCESS_KEY_ID", "AKIDTEST"), ("AWS_SECRET_ACCESS_KEY", SECRET)];
    let prober = Prober::start(&url, &format!("{{region: eu-west-1, endpoint_url: '{}', every: 1s}}", aws.base), &keys).await;
    prober.until("wsprobe_cloudwatch_last_success_timestamp_seconds ", 1.0).await;
    for failures in [5.0, 6.0] {
        while aws.asked.try_recv().is_ok() {} // what came before
        fail(1);
        prober.until("wsprobe_cloudwatch_failures_total{reason=\"server_error\"}", failures).await;
        let failed = tokio::time::Instant::now();
        aws.next("/").await; // the one that failed
        aws.next("/").await;
        // a second at most, and a busy machine; otherwise up to 16 s, then 32 s
        assert!(failed.elapsed() < Duration::from_secs(4), "{:?}", failed.elapsed());
    }
    prober.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_cloudwatch_refuses_are_looked_for_anew() {
    let mut aws = Stub::listen().await;
    *aws.faults.lock().expect("lock") = vec![(403, "ExpiredToken")];
    let (url, _control) = endpoint().await;
    let container = format!("{}/container", aws.base);
    let folder = TempDir::new().expect("folder");
    let token = folder.path().join("eks-pod-identity-token").display().to_string();
    std::fs::write(&token, "container-token\n").expect("write");
    let env =
        [("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.as_str()), ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.as_str())];
    let settings = format!("{{region: us-east-1, endpoint_url: '{}', every: 1s}}", aws.base);
    let prober = Prober::start(&url, &settings, &env).await;
    aws.next("/container").await;
    aws.next("/").await;
    aws.next("/container").await;
    let metrics = prober.until("wsprobe_cloudwatch_last_success_timestamp_seconds ", 1.0).await;
    assert!(metrics.contains("wsprobe_cloudwatch_failures_total{reason=\"forbidden\"} 1\n"), "{metrics}");
    let log = prober.stop().await;
    assert!(log.contains("CloudWatch answered 403 ExpiredToken") && log.contains("CloudWatch takes metrics again"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_holds_back_no_probe_and_no_shutdown() {
    let deaf = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let (url, _control) = endpoint().await;
    let keys = [("AWS_ACCESS_KEY_ID", "AKIDTEST"), ("AWS_SECRET_ACCESS_KEY", SECRET)];
    let settings = format!("{{region: eu-west-1, endpoint_url: 'http://{}', every: 1s}}", deaf.local_addr().expect("address"));
    let prober = Prober::start(&url, &settings, &keys).await;
    prober.until("wsprobe_cloudwatch_requests_total ", 1.0).await;
    prober.goes_on_and_ends_in_time().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_sent_lines_in_the_embedded_metric_format() {
    let agent = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let (url, _control) = endpoint().await;
    let settings = format!("{{namespace: Ops/Web, emf: 'tcp://{}', every: 1s}}", agent.local_addr().expect("address"));
    let prober = Prober::start(&url, &settings, &[]).await;
    let (stream, _) = timeout(PATIENCE, agent.accept()).await.expect("a connection in time").expect("accept");
    let (mut lines, mut read) = (BufReader::new(stream).lines(), vec![]);
    while let Some(line) = timeout(PATIENCE, lines.next_line()).await.expect("a line in time").expect("text") {
        read.push(serde_json::from_str::<Value>(&line).expect("JSON"));
    }
    let probes = read.iter().find(|line| line.get("Probes").is_some()).expect("a line of probes");
    assert_eq!((&probes["Target"], &probes["_aws"]["CloudWatchMetrics"][0]["Namespace"]), (&json!("prod"), &json!("Ops/Web")));
    prober.until("wsprobe_cloudwatch_last_success_timestamp_seconds ", 1.0).await;
    prober.stop().await;
}

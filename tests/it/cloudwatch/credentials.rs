//! Roles that have to be assumed, with a server that checks signatures and policies, and an STS that does not answer.

use super::*;

const ROLE: &str = "arn:aws:iam::123456789012:role";

/// Files of a reader, and their paths.
fn file(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("write");
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_roles_is_assumed_and_signs_as_a_server_wants_it_that_checks_every_signature_and_policy() {
    let moto = Moto::start().await;
    let allow = |action: &str| {
        format!("{{'Version': '2012-10-17', 'Statement': [{{'Effect': 'Allow', 'Action': {action}, 'Resource': '*'}}]}}")
    };
    let trust = |who: &str, more: &str| {
        format!(
            "{{'Version': '2012-10-17', 'Statement': [{{'Effect': 'Allow', 'Principal': {{'AWS': '{who}'}}, 'Action': 'sts:AssumeRole'{more}}}]}}"
        )
    };
    let key = moto
        .ask(&format!(
            "[iam := boto3.client('iam', **aws), iam.create_user(UserName='ops'),\n\
             iam.put_user_policy(UserName='ops', PolicyName='p', PolicyDocument=json.dumps({lend})),\n\
             iam.create_role(RoleName='near', AssumeRolePolicyDocument=json.dumps({by_user})),\n\
             iam.put_role_policy(RoleName='near', PolicyName='p', PolicyDocument=json.dumps({lend})),\n\
             iam.create_role(RoleName='far', AssumeRolePolicyDocument=json.dumps({by_role})),\n\
             iam.put_role_policy(RoleName='far', PolicyName='p', PolicyDocument=json.dumps({put})),\n\
             iam.create_access_key(UserName='ops')['AccessKey']][-1]",
            lend = allow("'sts:AssumeRole'"),
            by_user = trust("arn:aws:iam::123456789012:user/ops", ", 'Condition': {'StringEquals': {'sts:ExternalId': 'corp'}}"),
            by_role = trust("arn:aws:sts::123456789012:assumed-role/near/wsprobe", ""),
            // this server calls CloudWatch's actions by the name of its endpoint
            put = allow("['cloudwatch:PutMetricData', 'monitoring:PutMetricData']"),
        ))
        .await;
    let folder = TempDir::new().expect("folder");
    let config = |external_id: &str| {
        format!(
            "[profile far]\nrole_arn = {ROLE}/far\nsource_profile = near\nrole_session_name = prober-1\n\
             [profile near]\nrole_arn = {ROLE}/near\nsource_profile = ops\nexternal_id = {external_id}\n\
             [profile ops]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            key["AccessKeyId"].as_str().expect("key"),
            key["SecretAccessKey"].as_str().expect("secret")
        )
    };
    let (url, _control) = endpoint().await;
    moto.checks_signatures_from_now_on(true).await;
    let right = file(&folder, "right", &config("corp"));
    let env =
        [("AWS_PROFILE", "far"), ("AWS_CONFIG_FILE", &right), ("AWS_ENDPOINT_URL", &moto.base), ("AWS_REGION", "eu-west-1")];
    let prober = Prober::start(&url, "{every: 1s}", &env).await;
    prober.until("wsprobe_cloudwatch_last_success_timestamp_seconds ", 1.0).await;
    let log = prober.stop().await;
    let secret = key["SecretAccessKey"].as_str().expect("secret");
    assert!(!log.contains("CloudWatch does not get") && !log.contains(secret), "{log}");

    let wrong = file(&folder, "wrong", &config("other"));
    let env =
        [("AWS_PROFILE", "far"), ("AWS_CONFIG_FILE", &wrong), ("AWS_ENDPOINT_URL", &moto.base), ("AWS_REGION", "eu-west-1")];
    let prober = Prober::start(&url, "{every: 1s}", &env).await;
    prober.until("wsprobe_cloudwatch_failures_total{reason=\"credentials\"}", 1.0).await;
    let log = prober.stop().await;
    assert!(log.contains(&format!("does not lend {ROLE}/near to profile near: 403 AccessDenied")), "{log}");
    assert!(log.contains("trust policy (with its external id)"), "{log}");

    moto.checks_signatures_from_now_on(false).await;
    let assumed = moto.assumed_roles().await;
    let of = |role: &Value| (role["role_arn"].clone(), role["session_name"].clone(), role["external_id"].clone());
    let assumed: Vec<_> = assumed.as_array().expect("roles").iter().map(of).collect();
    let near = (json!(format!("{ROLE}/near")), json!("wsprobe"), json!("corp"));
    assert_eq!(assumed, [near, (json!(format!("{ROLE}/far")), json!("prober-1"), Value::Null)], "each once");
    let probes = moto.ask("sums('Probes', Target='prod')").await;
    assert!(probes[0].as_f64() > Some(0.0), "{probes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_of_eks_needs_nothing_but_what_eks_sets() {
    let moto = Moto::start().await;
    let (url, _control) = endpoint().await;
    let folder = TempDir::new().expect("folder");
    let (token, role) = (file(&folder, "token", "a.web.token\n"), format!("{ROLE}/pod"));
    let env = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str()),
        ("AWS_ROLE_ARN", &role),
        ("AWS_ROLE_SESSION_NAME", "pod-7"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ENDPOINT_URL", &moto.base),
    ];
    let prober = Prober::start(&url, "{every: 1s}", &env).await;
    prober.until("wsprobe_cloudwatch_last_success_timestamp_seconds ", 1.0).await;
    prober.until("wsprobe_cloudwatch_requests_total ", 3.0).await;
    let log = prober.stop().await;
    assert!(!log.contains("a.web.token"), "{log}");
    let assumed = moto.assumed_roles().await;
    let [lent] = assumed.as_array().expect("roles").as_slice() else { panic!("once for an hour: {assumed}") };
    assert_eq!((&lent["role_arn"], &lent["session_name"]), (&json!(role), &json!("pod-7")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sts_that_never_answers_holds_back_no_probe_and_no_shutdown() {
    let deaf = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let sts = format!("http://{}", deaf.local_addr().expect("address"));
    let (url, _control) = endpoint().await;
    let folder = TempDir::new().expect("folder");
    let token = file(&folder, "token", "t");
    let env = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str()),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/pod"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ENDPOINT_URL_STS", &sts),
    ];
    let prober = Prober::start(&url, "{every: 1s}", &env).await;
    let _asked = timeout(PATIENCE, deaf.accept()).await.expect("STS is asked in time").expect("accept");
    prober.goes_on_and_ends_in_time().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_prints_the_keys_of_a_profile() {
    let mut aws = Stub::listen().await;
    let (url, _control) = endpoint().await;
    let folder = TempDir::new().expect("folder");
    let keys = json!({"Version": 1, "AccessKeyId": "AKIDPROCESS", "SecretAccessKey": SECRET, "SessionToken": "token"});
    let keys = file(&folder, "the keys", &keys.to_string());
    let config = file(&folder, "config", &format!("[default]\nregion = eu-north-1\ncredential_process = /bin/cat \"{keys}\"\n"));
    let settings = format!("{{endpoint_url: '{}', every: 1s}}", aws.base);
    let prober = Prober::start(&url, &settings, &[("AWS_CONFIG_FILE", &config)]).await;
    let put = aws.next("/").await;
    let authorization = header(&put, "authorization");
    assert!(
        authorization.contains("Credential=AKIDPROCESS/") && authorization.contains("/eu-north-1/monitoring/"),
        "{authorization}"
    );
    assert!(!prober.stop().await.contains("hunter2"));
}

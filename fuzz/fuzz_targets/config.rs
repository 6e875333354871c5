//! Any text as monitors.yaml: it is understood or refused with errors that can be drawn, and no secret is ever shown.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use wsprobe::config;

/// Stands in the seeds, and in the environment, wherever a secret stands.
const CANARY: &str = "hunter2canary";

fuzz_target!(|text: &str| {
    let env = |name: &str| (name == "SECRET").then(|| CANARY.to_owned());
    // a folder that is not there: `*_file` keys must not read this machine's files
    match config::parse(text, Path::new("/nonexistent/monitors.yaml"), &env) {
        Ok(config) => {
            let printed = config.to_yaml();
            let again = config::parse(&printed, Path::new("/nonexistent/monitors.yaml"), &env);
            if let Err(report) = again {
                assert!(printed.contains("<masked>"), "what was printed is not valid:\n{printed}\n{report}");
            }
            if wsprobe_fuzz::is_surely_secret(text, CANARY) {
                assert!(!printed.contains(CANARY) && !format!("{config:?}").contains(CANARY), "{printed}");
            }
        }
        Err(report) => {
            let drawn = report.render(false);
            assert!(!report.diagnostics().is_empty() && !drawn.is_empty());
            let _ = report.render(true);
            if wsprobe_fuzz::is_surely_secret(text, CANARY) {
                assert!(!drawn.contains(CANARY), "{drawn}");
            }
        }
    }
});

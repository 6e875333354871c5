//! `wsprobe schema`: monitors.yaml as a JSON Schema, for editors.

use super::{INCONCLUSIVE, OK, say};

/// Kept in step with what the configuration reader knows by `tests/it/schema.rs`.
const SCHEMA: &str = include_str!("../../monitors.schema.json");

/// Print the JSON Schema (draft-07) of monitors.yaml, for completion and checks in an editor
///
/// It knows every key, type and choice. What only `wsprobe validate` can see (files, variables, names that refer to others, what can
/// never fire) it leaves to it.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  wsprobe schema > monitors.schema.json\nand as the first line of monitors.yaml:\n  # yaml-language-server: $schema=monitors.schema.json"
)]
pub struct Args {}

/// Runs the command; returns the exit code.
pub fn run(Args {}: Args) -> u8 {
    if say(SCHEMA) { OK } else { INCONCLUSIVE }
}

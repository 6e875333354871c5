//! `storage`: where state is kept over a restart.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::Storage;
use super::super::read::{Reader, Value};

const RETENTION: RangeInclusive<Duration> = Duration::from_secs(3_600)..=Duration::from_secs(3_650 * 86_400);
const EXAMPLE: &str = "storage: {path: wsprobe.db}";

/// Reads the section. Without it, state is kept where the service manager gives a place for it, otherwise in memory: two
/// daemons started in one folder for a try must not find each other's alerts.
pub(super) fn read(reader: &Reader<'_>, value: Option<Value<'_>>) -> Option<Storage> {
    let state_folder = reader.variable("STATE_DIRECTORY").and_then(|list| list.split(':').next().map(PathBuf::from));
    let standard = |folder: Option<&Path>| folder.unwrap_or(Path::new("")).join(Storage::FILE);
    let Some(value) = value else {
        let path = state_folder.as_deref().map(|folder| standard(Some(folder)));
        return Some(Storage { path, ..Storage::default() });
    };
    let mut fields = value.fields("`storage`", EXAMPLE)?;
    let path = fields.get("path").map(|value| value.word("path: wsprobe.db"));
    let retention = fields.get("retention").map(|value| value.duration(RETENTION, "retention: 90d"));
    fields.finish();
    // Absent is fine, wrong is not.
    let path = match path {
        Some(written) => match written?.value.as_str() {
            Storage::MEMORY => None,
            path => Some(state_folder.unwrap_or_default().join(path)),
        },
        None => Some(standard(state_folder.as_deref())),
    };
    let retention = retention.map_or(Some(Storage::RETENTION), |written| written.map(|written| written.value))?;
    Some(Storage { path, retention })
}

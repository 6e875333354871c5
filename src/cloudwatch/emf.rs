//! From data to lines in the embedded metric format, for an agent that hands them on ("Specification: Embedded metric format",
//! CloudWatch User Guide). The lines are pure; [`send`] writes them to the agent's TCP port.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::Parcel;
use super::collect::Datum;
use super::request::{MAX_BODY, dimension, is_allowed};

/// A metric's array has at most 100 values.
const MAX_VALUES: usize = 100;
/// The agent needs to know where the lines go; CloudWatch Logs keeps them there.
const LOG_GROUP: &str = "wsprobe-metrics";

/// The lines of these data. One that was seen often takes several: the format has no counts.
pub(super) fn parcels(namespace: &str, data: &[Datum], fine: bool) -> Vec<Parcel> {
    let mut parcels: Vec<Parcel> = vec![];
    for datum in data {
        let lines: String = lines(namespace, datum, fine);
        match parcels.last_mut().filter(|parcel| parcel.body.len() + lines.len() <= MAX_BODY) {
            Some(parcel) => {
                parcel.body.push_str(&lines);
                parcel.data += 1;
            }
            None => parcels.push(Parcel { body: lines, data: 1 }),
        }
    }
    parcels
}

fn lines(namespace: &str, datum: &Datum, fine: bool) -> String {
    let allowed = datum.values.iter().filter(|(value, _)| is_allowed(*value));
    let values: Vec<f64> = allowed.flat_map(|(value, count)| (0..*count).map(|_| *value)).collect();
    values.chunks(MAX_VALUES).map(|chunk| format!("{}\n", line(namespace, datum, chunk, fine))).collect()
}

fn line(namespace: &str, datum: &Datum, values: &[f64], fine: bool) -> Value {
    let dimensions: Vec<&str> = std::iter::once("Target").chain(datum.by.map(|(name, _)| name)).collect();
    let resolution = if fine { 1 } else { 60 };
    let mut line = json!({
        "_aws": {
            "Timestamp": datum.at.as_nanos() / 1_000_000,
            "LogGroupName": LOG_GROUP,
            "CloudWatchMetrics": [{
                "Namespace": namespace,
                "Dimensions": [dimensions],
                "Metrics": [{"Name": datum.name, "Unit": datum.unit.as_str(), "StorageResolution": resolution}],
            }],
        },
        "Target": dimension(datum.target.as_str()),
        datum.name: match values {
            [value] => json!(value),
            values => json!(values),
        },
    });
    if let Some((name, value)) = datum.by {
        line[name] = json!(value);
    }
    line
}

/// Writes lines to the agent. The format has no answer: what the agent's host took is taken to have arrived.
pub(super) async fn send(agent: &str, lines: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(agent).await?;
    stream.write_all(lines.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::super::collect::Unit;
    use super::*;
    use crate::outcome::TargetName;
    use crate::time::Timestamp;

    fn datum(values: Vec<(f64, u64)>) -> Datum {
        let (at, target) = (Timestamp::from_secs(1_767_323_040), TargetName::lossy("prod"));
        Datum { name: "Failures", target, by: Some(("Reason", "tls_expired")), unit: Unit::Count, values, at }
    }

    #[test]
    fn a_line_is_one_json_object_as_specified() {
        let parcels = parcels("WebSocketHealth", &[datum(vec![(2.0, 1)])], false);
        assert_eq!(parcels[0].body.matches('\n').count(), 1);
        let line: Value = serde_json::from_str(&parcels[0].body).unwrap();
        let metrics = json!([{"Name": "Failures", "Unit": "Count", "StorageResolution": 60}]);
        let about = json!([{"Namespace": "WebSocketHealth", "Dimensions": [["Target", "Reason"]], "Metrics": metrics}]);
        let expected = json!({
            "_aws": {"Timestamp": 1_767_323_040_000u64, "LogGroupName": "wsprobe-metrics", "CloudWatchMetrics": about},
            "Target": "prod", "Failures": 2.0, "Reason": "tls_expired",
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn more_than_a_hundred_values_take_several_lines_each_below_256_kb() {
        let parcels = parcels("N", &[datum(vec![(0.5, 150), (1.5, 101)])], true);
        let lines: Vec<Value> = parcels[0].body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.iter().map(|line| line["Failures"].as_array().unwrap().len()).collect::<Vec<_>>(), [100, 100, 51]);
        assert!(parcels[0].body.lines().all(|line| line.len() < 256_000));
        assert_eq!(parcels[0].data, 1);
    }

    #[test]
    fn many_data_are_sent_in_pieces() {
        let parcels = parcels("N", &vec![datum(vec![(0.123_456, 100)]); 2_000], false);
        assert!(parcels.len() > 1 && parcels.iter().all(|parcel| parcel.body.len() <= MAX_BODY));
        assert_eq!(parcels.iter().map(|parcel| parcel.data).sum::<usize>(), 2_000);
    }
}

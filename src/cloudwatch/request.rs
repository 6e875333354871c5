//! From data to bodies of PutMetricData, within the limits of its reference ("PutMetricData", CloudWatch API Reference). Pure.
//!
//! The query protocol: every region and every endpoint has spoken it since 2010.

use std::fmt::Write;

use url::form_urlencoded::byte_serialize;

use super::Parcel;
use super::collect::Datum;

/// "Each request … can include no more than 1000 different metrics."
const MAX_DATA: usize = 1_000;
/// "Each PutMetricData request is limited to 1 MB in size". We stay below the smaller of the two things that may mean, so that
/// nothing needs to be compressed.
pub(super) const MAX_BODY: usize = 1_000_000;
/// `Dimension.Value`: at most 1,024 characters.
pub(super) const MAX_DIMENSION: usize = 1_024;
/// "Values must be in the range of -2^360 to 2^360. In addition, special values (for example, NaN, +Infinity, -Infinity) are
/// not supported."
const MAX_MAGNITUDE: f64 = f64::from_bits((1_023 + 360) << 52);

/// The bodies that carry these data, as few as the limits allow. With `fine`, CloudWatch keeps them by the second.
pub(super) fn parcels(namespace: &str, data: &[Datum], fine: bool) -> Vec<Parcel> {
    let head = || {
        let mut body = "Action=PutMetricData&Version=2010-08-01".to_owned();
        pair(&mut body, "Namespace", namespace);
        body
    };
    let (mut parcels, mut body, mut count) = (vec![], head(), 0);
    for datum in data.iter().filter(|datum| datum.values.iter().all(|(value, _)| is_allowed(*value))) {
        let mut member = member(datum, count + 1, fine);
        if count == MAX_DATA || body.len() + member.len() > MAX_BODY {
            parcels.push(Parcel { body: std::mem::replace(&mut body, head()), data: std::mem::take(&mut count) });
            member = self::member(datum, 1, fine);
        }
        body.push_str(&member);
        count += 1;
    }
    if count > 0 {
        parcels.push(Parcel { body, data: count });
    }
    parcels
}

/// Whether CloudWatch takes this value. The comparison is false for what is no number.
pub(super) fn is_allowed(value: f64) -> bool {
    value.abs() <= MAX_MAGNITUDE
}

/// A dimension's value, which is ASCII, as long as it may be.
pub(super) fn dimension(value: &str) -> &str {
    value.get(..MAX_DIMENSION).unwrap_or(value)
}

fn member(datum: &Datum, number: usize, fine: bool) -> String {
    let mut text = String::new();
    let mut put = |key: &str, value: &str| pair(&mut text, &format!("MetricData.member.{number}.{key}"), value);
    put("MetricName", datum.name);
    put("Timestamp", &datum.at.to_string());
    put("Unit", datum.unit.as_str());
    let dimensions = [Some(("Target", dimension(datum.target.as_str()))), datum.by];
    for (n, (name, value)) in dimensions.into_iter().flatten().enumerate() {
        put(&format!("Dimensions.member.{}.Name", n + 1), name);
        put(&format!("Dimensions.member.{}.Value", n + 1), value);
    }
    match datum.values[..] {
        [(value, 1)] => put("Value", &value.to_string()),
        _ => {
            for (n, (value, count)) in datum.values.iter().enumerate() {
                put(&format!("Values.member.{}", n + 1), &value.to_string());
                put(&format!("Counts.member.{}", n + 1), &count.to_string());
            }
        }
    }
    if fine {
        put("StorageResolution", "1");
    }
    text
}

fn pair(body: &mut String, key: &str, value: &str) {
    let value: String = byte_serialize(value.as_bytes()).collect();
    let _ = write!(body, "&{key}={value}"); // into memory: it can't fail
}

#[cfg(test)]
mod tests {
    use super::super::collect::Unit;
    use super::super::spread::MAX_VALUES;
    use super::*;
    use crate::outcome::TargetName;
    use crate::time::Timestamp;

    fn datum(values: Vec<(f64, u64)>) -> Datum {
        let at = Timestamp::from_secs(1_767_323_040);
        Datum { name: "Duration", target: TargetName::lossy("prod"), by: None, unit: Unit::Seconds, values, at }
    }

    #[test]
    fn a_datum_is_written_as_the_api_reference_shows() {
        let mut datum = datum(vec![(0.25, 3), (1.5, 1)]);
        datum.by = Some(("Phase", "tls"));
        let parcels = parcels("Web Sockets", &[datum], true);
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(parcels[0].body.as_bytes()).into_owned().collect();
        let expected = [
            ("Action", "PutMetricData"),
            ("Version", "2010-08-01"),
            ("Namespace", "Web Sockets"),
            ("MetricData.member.1.MetricName", "Duration"),
            ("MetricData.member.1.Timestamp", "2026-01-02T03:04:00.000Z"),
            ("MetricData.member.1.Unit", "Seconds"),
            ("MetricData.member.1.Dimensions.member.1.Name", "Target"),
            ("MetricData.member.1.Dimensions.member.1.Value", "prod"),
            ("MetricData.member.1.Dimensions.member.2.Name", "Phase"),
            ("MetricData.member.1.Dimensions.member.2.Value", "tls"),
            ("MetricData.member.1.Values.member.1", "0.25"),
            ("MetricData.member.1.Counts.member.1", "3"),
            ("MetricData.member.1.Values.member.2", "1.5"),
            ("MetricData.member.1.Counts.member.2", "1"),
            ("MetricData.member.1.StorageResolution", "1"),
        ];
        assert_eq!(pairs, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_thousand_and_one_metrics_take_two_requests() {
        let parcels = parcels("N", &vec![datum(vec![(1.0, 1)]); 1_001], false);
        assert_eq!(parcels.iter().map(|parcel| parcel.data).collect::<Vec<_>>(), [1_000, 1]);
        assert!(parcels[1].body.contains("&MetricData.member.1.") && !parcels[1].body.contains("member.1001."));
    }

    #[test]
    fn no_body_is_larger_than_a_megabyte_and_nothing_is_lost() {
        let mut large = datum((0..MAX_VALUES as u64).map(|n| (n as f64 + 0.123_456, u64::MAX)).collect());
        large.target = TargetName::lossy(&"x".repeat(3_000));
        let parcels = parcels(&"n".repeat(255), &vec![large; 300], true);
        assert!(parcels.len() > 1 && parcels.iter().all(|parcel| parcel.body.len() <= MAX_BODY));
        assert_eq!(parcels.iter().map(|parcel| parcel.data).sum::<usize>(), 300);
        assert!(!parcels[0].body.contains(&"x".repeat(1_025)), "the value of a dimension has 1,024 characters at most");
    }

    #[test]
    fn a_body_is_filled_up_to_the_last_metric_that_has_room() {
        let large = datum((0..MAX_VALUES as u64).map(|n| (n as f64 + 0.123_456, u64::MAX)).collect());
        let of_one = |datum: &Datum| parcels("N", std::slice::from_ref(datum), false)[0].body.len();
        let (small, whole) = (datum(vec![(1.0, 1)]), MAX_BODY / of_one(&large));
        let parcels = parcels("N", &[vec![large; whole], vec![small.clone(); 999 - whole]].concat(), false);
        let first = parcels[0].body.len();
        assert!(parcels.len() == 2 && first <= MAX_BODY && first + of_one(&small) > MAX_BODY, "{first}");
    }

    #[test]
    fn what_is_no_number_or_beyond_the_range_is_never_sent() {
        let most = 2f64.powi(360);
        assert_eq!(most, MAX_MAGNITUDE);
        for (value, sent) in [(most, 1), (-most, 1), (most * 1.01, 0), (f64::NAN, 0), (f64::INFINITY, 0), (f64::NEG_INFINITY, 0)]
        {
            assert_eq!(parcels("N", &[datum(vec![(value, 1)])], false).len(), sent, "{value}");
        }
    }
}

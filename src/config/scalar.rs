//! How durations, ratios and sizes are written: pure parsing, and writing them back.

use std::time::Duration;

use super::text::quoted;

/// Why a text is not what was expected: how the sentence "`key` …" goes on, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub message: String,
    pub help: String,
}

fn wrong<T>(message: impl Into<String>, help: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { message: message.into(), help: help.into() })
}

const SECOND: u64 = 1_000_000_000;
/// Units of durations in nanoseconds, largest first. Months and years are left out: `1M` is too easily meant as a minute.
const UNITS: [(&str, u64); 7] = [
    ("d", 86_400 * SECOND),
    ("h", 3_600 * SECOND),
    ("m", 60 * SECOND),
    ("s", SECOND),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// `30s`, `2m 30s`, `14d`. `unit` is the one that is suggested where none is written.
pub fn duration(text: &str, unit: &str) -> Result<Duration, Wrong> {
    let text = text.trim();
    if text.parse::<f64>().is_ok() && text != "0" {
        return wrong(format!("needs a unit: {}", quoted(text)), format!("write {}", quoted(&format!("{text}{unit}"))));
    }
    let mut units = text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
    if let Some(unit) = units.find(|unit| matches!(*unit, "M" | "month" | "months" | "y" | "yr" | "yrs" | "year" | "years")) {
        let help =
            if unit == "M" { "a minute is `1m`; longer times are written in days: `30d`" } else { "write it in days: `30d`" };
        return wrong(format!("can't be in months or years: {}", quoted(text)), help);
    }
    match humantime::parse_duration(text) {
        Ok(duration) => Ok(duration),
        Err(_) => wrong(format!("is not a duration: {}", quoted(text)), "write it as `30s`, `2m 30s`, `500ms`, `4h` or `14d`"),
    }
}

/// Writes a duration so that [`duration`] reads the same back.
pub fn show(duration: Duration) -> String {
    let mut rest = duration.as_nanos();
    let mut parts = vec![];
    for (unit, nanos) in UNITS {
        let n = rest / u128::from(nanos);
        rest %= u128::from(nanos);
        if n > 0 {
            parts.push(format!("{n}{unit}"));
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

/// `5%` or `0.05`: 0 to 1.
pub(super) fn ratio(text: &str) -> Result<f64, Wrong> {
    let text = text.trim();
    let (number, percent) = text.strip_suffix('%').map_or((text, false), |number| (number.trim_end(), true));
    // read as written: divided by a hundred, 99.9% would be 0.9990000000000001
    let value = if percent { format!("{number}e-2") } else { number.to_owned() };
    let parsed = value
        .parse::<f64>()
        .ok()
        .filter(|n| n.is_finite() && number.starts_with(|c: char| c.is_ascii_digit() || "-.".contains(c)));
    let Some(n) = parsed else {
        return wrong(format!("is not a ratio: {}", quoted(text)), "write it as `5%` or `0.05`");
    };
    match n {
        0.0..=1.0 => Ok(n.abs()),
        _ if !percent && (1.0..=100.0).contains(&n) => {
            wrong(format!("is more than 1: {}", quoted(text)), format!("write `{text}%` for {text} of a hundred"))
        }
        _ => wrong(format!("is not between 0% and 100%: {}", quoted(text)), "write it as `5%` or `0.05`"),
    }
}

/// `64KiB`, `1MiB`, `1500`: bytes.
pub(super) fn size(text: &str) -> Result<u64, Wrong> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim_start() {
        "" | "B" => Some(1),
        "kB" | "KB" => Some(1_000),
        "KiB" => Some(1 << 10),
        "MB" => Some(1_000_000),
        "MiB" => Some(1 << 20),
        "GB" => Some(1_000_000_000),
        "GiB" => Some(1 << 30),
        _ => None,
    };
    match (number.parse::<u64>(), factor) {
        (Ok(number), Some(factor)) => Ok(number.saturating_mul(factor)),
        _ => wrong(format!("is not a size: {}", quoted(text)), "write it in bytes or as `64KiB` or `1MiB`"),
    }
}

/// Writes a size so that [`size`] reads the same back.
pub(super) fn show_size(bytes: u64) -> String {
    match bytes {
        b if b > 0 && b % (1 << 20) == 0 => format!("{}MiB", b >> 20),
        b if b > 0 && b % (1 << 10) == 0 => format!("{}KiB", b >> 10),
        b => b.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn duration(text: &str) -> Result<Duration, Wrong> {
        super::duration(text, "s")
    }

    #[test]
    fn durations_are_read_as_humantime_writes_them() {
        assert_eq!(duration("2m 30s"), Ok(Duration::from_secs(150)));
        assert_eq!(duration("14d"), Ok(Duration::from_secs(14 * 86_400)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
    }

    #[test]
    fn a_number_without_a_unit_is_answered_with_the_unit() {
        assert_eq!(super::duration("10", "d").unwrap_err().help, "write `10d`");
    }

    #[test]
    fn a_month_is_never_read_where_a_minute_was_meant() {
        assert!(duration("1M").unwrap_err().help.contains("`1m`"));
        assert!(duration("1year").is_err());
    }

    #[test]
    fn nonsense_is_no_duration() {
        for text in ["", "abc", "-5s", "10 potatoes", "5S", "99999999999999999999d", "nan", "inf"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_shown_reads_back_the_same() {
        for text in ["0s", "30s", "2m 30s", "90d", "500ms", "1d 1h 1m 1s 1ms 1us 1ns", "400d"] {
            let read = duration(text).unwrap();
            assert_eq!(show(read), text);
        }
        for text in ["64KiB", "1MiB", "1500", "1"] {
            assert_eq!(show_size(size(text).unwrap()), text);
        }
    }

    #[test]
    fn ratios_are_percents_or_fractions() {
        assert_eq!(ratio("5%"), Ok(0.05));
        assert_eq!(ratio("0.05"), Ok(0.05));
        assert_eq!(ratio("0%"), Ok(0.0));
        assert_eq!(ratio("100%"), Ok(1.0));
        assert_eq!(ratio("5").unwrap_err().help, "write `5%` for 5 of a hundred");
        for text in ["", "%", "x", "-1%", "101%", "nan", "inf%", "1e999"] {
            assert!(ratio(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_bytes_or_have_a_unit() {
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("64 kB"), Ok(64_000));
        assert_eq!(size("99999999999GiB"), Ok(u64::MAX));
        for text in ["", "KiB", "64k", "1.5MiB", "-1"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}

//! When nobody is to be told of certain targets, as meant.

use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use super::policy::Selector;
use crate::time::Timestamp;

/// One entry of `maintenance:`.
#[derive(Clone, Debug, PartialEq)]
pub struct Maintenance {
    /// Unique among the windows.
    pub name: Arc<str>,
    pub targets: Selector,
    pub times: Times,
}

/// When a window is.
#[derive(Clone, Debug, PartialEq)]
pub enum Times {
    /// On these days, by the clocks of a time zone.
    Weekly { days: Days, from: TimeOfDay, to: TimeOfDay, zone: TimeZone },
    /// Once; `end` itself is outside.
    Once { start: Timestamp, end: Timestamp },
}

/// Days of the week on which a window begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days(u8);

impl Days {
    pub const ALL: Days = Days(0b111_1111);
    pub const NONE: Days = Days(0);

    /// How they are written, Monday first.
    pub const NAMES: [(&str, Weekday); 7] = [
        ("mon", Weekday::Monday),
        ("tue", Weekday::Tuesday),
        ("wed", Weekday::Wednesday),
        ("thu", Weekday::Thursday),
        ("fri", Weekday::Friday),
        ("sat", Weekday::Saturday),
        ("sun", Weekday::Sunday),
    ];

    /// These days and that one.
    #[must_use]
    pub fn with(self, day: Weekday) -> Days {
        Days(self.0 | bit(day))
    }

    pub fn contains(self, day: Weekday) -> bool {
        self.0 & bit(day) != 0
    }
}

fn bit(day: Weekday) -> u8 {
    1 << day.to_monday_zero_offset()
}

/// A time on the clock, in minutes since midnight; 24:00 is the end of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay(u16);

impl TimeOfDay {
    pub const END_OF_DAY: TimeOfDay = TimeOfDay(24 * 60);

    /// `02:00`, `24:00`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let two = |text: &str| -> Option<u16> {
            (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
        };
        let (hours, minutes) = text.split_once(':')?;
        let (hours, minutes) = (two(hours)?, two(minutes)?);
        let minute = hours * 60 + minutes;
        (minutes < 60 && minute <= Self::END_OF_DAY.0).then_some(TimeOfDay(minute))
    }

    pub fn hour(self) -> i8 {
        i8::try_from(self.0 / 60).unwrap_or(0)
    }

    pub fn minute(self) -> i8 {
        i8::try_from(self.0 % 60).unwrap_or(0)
    }

    /// Since midnight, on a day without a change of the clocks.
    pub fn since_midnight(self) -> Duration {
        Duration::from_secs(u64::from(self.0) * 60)
    }
}

impl std::fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02}:{:02}", self.hour(), self.minute())
    }
}

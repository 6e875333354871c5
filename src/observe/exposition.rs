//! From numbers to the text format 0.0.4, family by family and in bounded pieces.
//!
//! The escaping and the number format are the prometheus crate's. It gets a family in batches: gathering everything first, as
//! its registry does, would hold several times the size of the page in memory (2.8 million lines at 20,000 targets).
//! Histograms, two thirds of all lines, are written without it: their labels are words that need no escaping, and it took three
//! times as long.

use std::fmt::Write;
use std::ops::ControlFlow;

use prometheus::TextEncoder;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::histogram::{Bounds, Histogram};

/// Metrics turned into protocol values at once.
const BATCH: usize = 512;

/// A piece is handed on when it has grown to this size, in bytes.
const PIECE: usize = 64 * 1024;

/// Why an exposition ended early.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Whoever asked for it has gone.
    #[error("the reader went away")]
    Abandoned,
    #[error("metrics can't be written as text")]
    Encoder(#[from] prometheus::Error),
    #[error("metrics can't be written as text")]
    Format(#[from] std::fmt::Error),
}

/// Writes families into a sink.
pub(super) struct Writer<'a> {
    piece: String,
    scratch: String,
    sink: &'a mut dyn FnMut(String) -> ControlFlow<()>,
}

impl<'a> Writer<'a> {
    /// Each piece ends at the end of a line; the sink may say that no more is wanted.
    pub(super) fn new(sink: &'a mut dyn FnMut(String) -> ControlFlow<()>) -> Self {
        Writer { piece: String::new(), scratch: String::new(), sink }
    }

    /// Writes one family; nothing at all when it has no series.
    pub(super) fn family(
        &mut self,
        kind: MetricType,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = Metric>,
    ) -> Result<(), EncodeError> {
        let mut series = series.into_iter();
        let mut first = true;
        loop {
            let batch: Vec<Metric> = series.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return Ok(());
            }
            let mut family = MetricFamily::default();
            family.set_name(name.to_owned());
            // Without a help text the encoder's header is one line, which is cut off below.
            family.set_help(if first { help.to_owned() } else { String::new() });
            family.set_field_type(kind);
            family.set_metric(batch);
            self.write(&family, first)?;
            first = false;
        }
    }

    /// Writes a family of histograms; nothing at all when it has no series. Labels as [`Histogram::write`] wants them.
    pub(super) fn histograms<'h, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        bounds: &Bounds<N>,
        series: impl IntoIterator<Item = (String, &'h Histogram<N>)>,
    ) -> Result<(), EncodeError> {
        let mut first = true;
        for (labels, histogram) in series {
            if std::mem::take(&mut first) {
                writeln!(self.piece, "# HELP {name} {help}\n# TYPE {name} histogram")?;
            }
            histogram.write(bounds, name, &labels, &mut self.piece)?;
            if self.piece.len() >= PIECE {
                self.hand_on()?;
            }
        }
        Ok(())
    }

    /// Writes a family that a collector of the crate made.
    pub(super) fn ready_made(&mut self, family: &MetricFamily) -> Result<(), EncodeError> {
        if family.get_metric().is_empty() { Ok(()) } else { self.write(family, true) }
    }

    fn write(&mut self, family: &MetricFamily, with_header: bool) -> Result<(), EncodeError> {
        self.scratch.clear();
        TextEncoder::new().encode_utf8(std::slice::from_ref(family), &mut self.scratch)?;
        let text = match self.scratch.split_once('\n') {
            Some((_, rest)) if !with_header => rest,
            _ => &self.scratch,
        };
        self.piece.push_str(text);
        if self.piece.len() >= PIECE { self.hand_on() } else { Ok(()) }
    }

    fn hand_on(&mut self) -> Result<(), EncodeError> {
        match (self.sink)(std::mem::take(&mut self.piece)) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(EncodeError::Abandoned),
        }
    }

    /// Hands on the rest.
    pub(super) fn finish(mut self) -> Result<(), EncodeError> {
        if self.piece.is_empty() { Ok(()) } else { self.hand_on() }
    }
}

/// One label.
pub(super) fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

/// A gauge's sample.
pub(super) fn gauge(labels: Vec<LabelPair>, value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = Metric::from_label(labels);
    metric.set_gauge(gauge);
    metric
}

/// A counter's sample.
pub(super) fn counter(labels: Vec<LabelPair>, value: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value as f64);
    let mut metric = Metric::from_label(labels);
    metric.set_counter(counter);
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_family_has_one_header_and_every_series() {
        let mut pieces = vec![];
        let mut sink = |piece| {
            pieces.push(piece);
            ControlFlow::Continue(())
        };
        let mut writer = Writer::new(&mut sink);
        let series = (0..5_000).map(|i| counter(vec![label("target", &format!("target-number-{i}"))], i));
        writer.family(MetricType::COUNTER, "x_total", "help", series).unwrap();
        writer.finish().unwrap();
        assert!(pieces.len() > 1 && pieces.iter().all(|p| p.ends_with('\n') && p.len() < 2 * PIECE));
        let text = pieces.concat();
        assert!(text.starts_with("# HELP x_total help\n# TYPE x_total counter\nx_total{target=\"target-number-0\"} 0\n"));
        assert_eq!(text.lines().filter(|l| l.starts_with('#')).count(), 2);
        assert_eq!(text.lines().count(), 5_002);
    }

    #[test]
    fn a_reader_that_went_away_ends_the_work() {
        let mut sink = |_| ControlFlow::Break(());
        let mut writer = Writer::new(&mut sink);
        let endless = std::iter::repeat_with(|| gauge(vec![label("target", "a")], 1.0));
        assert!(matches!(writer.family(MetricType::GAUGE, "x", "help", endless), Err(EncodeError::Abandoned)));
    }
}

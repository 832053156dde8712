//! Samples written down as they are collected, family by family, in the text format or in OpenMetrics.
//!
//! Both formats have the same samples under the same names; OpenMetrics adds units and the time since which a counter
//! counts. Knows the catalogue, not where values come from.

use std::fmt::Write;

use super::catalogue::{ALL, Metric, MetricKind};

/// How samples are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// Prometheus text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// Content type, with version and character set.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What follows the last family.
    pub fn end(self) -> &'static str {
        match self {
            Self::Text => "",
            Self::OpenMetrics => "# EOF\n",
        }
    }
}

/// Samples being collected, by metric of the catalogue.
#[derive(Debug)]
pub struct Exposition {
    format: Format,
    /// By place in the catalogue: is this metric wanted?
    wanted: Vec<bool>,
    /// By place in the catalogue.
    families: Vec<String>,
    counting_since: f64,
}

/// A metric with its samples, ready to be sent.
#[derive(Debug)]
pub struct Family {
    /// Which metric.
    pub metric: &'static Metric,
    /// Description and samples; empty if there are no samples.
    pub text: String,
}

impl Exposition {
    /// An exposition of all metrics.
    pub fn new(format: Format) -> Self {
        Self { format, wanted: vec![true; ALL.len()], families: vec![String::new(); ALL.len()], counting_since: 0.0 }
    }

    /// An exposition that takes only the samples of the metrics that `wanted` names and ignores the others.
    pub fn only(format: Format, wanted: impl Fn(&Metric) -> bool) -> Self {
        Self { wanted: ALL.iter().map(|metric| wanted(metric)).collect(), ..Self::new(format) }
    }

    /// Counters and summaries that follow count since this time, in seconds since 1970 UTC; 0 where that is not known.
    pub fn counting_since(&mut self, time: f64) {
        self.counting_since = time;
    }

    /// Add one sample of a gauge or counter; `labels` are the values in the order of the declaration.
    pub fn set(&mut self, metric: &'static Metric, labels: &[&str], value: f64) {
        let since = self.created(metric);
        let Some(out) = self.family(metric) else { return };
        sample(out, metric, "", labels, None, value);
        if let Some(since) = since {
            sample(out, metric, "_created", labels, None, since);
        }
    }

    /// Add one summary; `quantiles` are pairs of quantile (0–1) and value.
    pub fn summarize(
        &mut self,
        metric: &'static Metric,
        labels: &[&str],
        quantiles: &[(f64, f64)],
        sum: f64,
        count: u64,
    ) {
        debug_assert_eq!(metric.kind, MetricKind::Summary, "{}", metric.name);
        let since = self.created(metric);
        let Some(out) = self.family(metric) else { return };
        for (quantile, value) in quantiles {
            sample(out, metric, "", labels, Some(*quantile), *value);
        }
        sample(out, metric, "_sum", labels, None, sum);
        sample(out, metric, "_count", labels, None, count as f64);
        if let Some(since) = since {
            sample(out, metric, "_created", labels, None, since);
        }
    }

    fn created(&self, metric: &Metric) -> Option<f64> {
        let counts = metric.kind != MetricKind::Gauge && self.format == Format::OpenMetrics;
        (counts && self.counting_since > 0.0).then_some(self.counting_since)
    }

    /// Where samples of `metric` go; its description is written before the first.
    fn family(&mut self, metric: &'static Metric) -> Option<&mut String> {
        if !self.wanted[metric.place] {
            return None;
        }
        let out = &mut self.families[metric.place];
        if out.is_empty() {
            describe(out, metric, self.format);
        }
        Some(out)
    }

    /// The wanted metrics in the order of the catalogue, those without samples too.
    pub fn into_families(self) -> impl Iterator<Item = Family> {
        let all = ALL.iter().zip(self.families).zip(self.wanted);
        all.filter(|(_, wanted)| *wanted).map(|((metric, text), _)| Family { metric, text })
    }

    /// The whole document.
    pub fn encode(self) -> String {
        let end = self.format.end();
        self.families.concat() + end
    }
}

/// Name without the suffix that samples of a counter have.
fn family_name(metric: &Metric) -> &'static str {
    metric.name.strip_suffix("_total").filter(|_| metric.kind == MetricKind::Counter).unwrap_or(metric.name)
}

fn describe(out: &mut String, metric: &Metric, format: Format) {
    let (name, kind) = match format {
        Format::Text => (metric.name, metric.kind.name()),
        Format::OpenMetrics => (family_name(metric), metric.kind.name()),
    };
    let _ = write!(out, "# HELP {name} ");
    match format {
        Format::Text => escape(out, metric.help, &['\\', '\n']),
        Format::OpenMetrics => escape(out, metric.help, &['\\', '\n', '"']),
    }
    let _ = write!(out, "\n# TYPE {name} {kind}\n");
    if format == Format::OpenMetrics && metric.unit != "1" {
        let _ = writeln!(out, "# UNIT {name} {}", metric.unit);
    }
}

fn sample(out: &mut String, metric: &Metric, suffix: &str, labels: &[&str], quantile: Option<f64>, value: f64) {
    debug_assert_eq!(metric.labels.len(), labels.len(), "labels of {}", metric.name);
    out.push_str(if suffix == "_created" { family_name(metric) } else { metric.name });
    out.push_str(suffix);
    let mut before = '{';
    for (name, text) in metric.labels.iter().zip(labels) {
        out.push(before);
        before = ',';
        out.push_str(name);
        out.push_str("=\"");
        escape(out, text, &['\\', '\n', '"']);
        out.push('"');
    }
    if let Some(quantile) = quantile {
        // OpenMetrics and Prometheus 3 write 1 as 1.0: the series has the same name wherever it is read.
        let _ = write!(out, "{before}quantile=\"{quantile:?}\"");
        before = ',';
    }
    out.push_str(if before == ',' { "} " } else { " " });
    number(out, value);
    out.push('\n');
}

fn escape(out: &mut String, text: &str, special: &[char]) {
    if !text.contains(special) {
        out.push_str(text);
        return;
    }
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            _ if special.contains(&character) => out.extend(['\\', character]),
            _ => out.push(character),
        }
    }
}

/// Largest whole number below which every whole number is a float of its own.
const EXACT: f64 = 9_007_199_254_740_992.0;

fn number(out: &mut String, value: f64) {
    let _ = if value.is_nan() {
        write!(out, "NaN")
    } else if value.is_infinite() {
        write!(out, "{}Inf", if value > 0.0 { '+' } else { '-' })
    } else if value.fract() == 0.0 && value.abs() < EXACT {
        // Most values are whole, and whole numbers are written ten times as fast.
        #[allow(clippy::cast_possible_truncation)] // it is whole and fits
        let whole = value as i64;
        write!(out, "{whole}")
    } else {
        write!(out, "{value}")
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: f64) -> String {
        let mut out = String::new();
        number(&mut out, value);
        out
    }

    #[test]
    fn numbers_are_spelt_as_both_formats_want_them() {
        assert_eq!(written(f64::INFINITY), "+Inf");
        assert_eq!(written(f64::NEG_INFINITY), "-Inf");
        assert_eq!(written(f64::NAN), "NaN");
        assert_eq!(written(1_790_000_000.25), "1790000000.25");
        assert_eq!(written(-0.5), "-0.5");
        for value in [0.0, 1.0, -3.0, 123_456_789_012.0, 1e15, 1e300, 2.5e-7] {
            assert_eq!(written(value).parse::<f64>(), Ok(value));
        }
    }

    #[test]
    fn labels_and_help_are_escaped_as_each_format_wants() {
        let mut out = String::new();
        escape(&mut out, "a\\b\"c\nd", &['\\', '\n', '"']);
        assert_eq!(out, r#"a\\b\"c\nd"#);
        out.clear();
        escape(&mut out, "a\\b\"c\nd", &['\\', '\n']);
        assert_eq!(out, r#"a\\b"c\nd"#);
    }
}

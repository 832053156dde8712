//! Samples by family, in the types of the `prometheus` crate, and how they are written.
//!
//! The text format is the crate's own encoder; OpenMetrics, which it lacks, is `openmetrics`.
//! Knows the catalogue, not where values come from.

use prometheus::proto::{self, MetricFamily};
use prometheus::{Encoder, TextEncoder};

use super::catalogue::{ALL, Metric, MetricKind};
use super::openmetrics;

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
    families: Vec<Samples>,
    counting_since: f64,
}

/// Samples of one metric.
#[derive(Debug, Default)]
struct Samples {
    metrics: Vec<proto::Metric>,
    /// For each sample that counts: since when, in seconds since 1970 UTC; 0 where that is not known.
    since: Vec<f64>,
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
        Self::only(format, |_| true)
    }

    /// An exposition that takes only the samples of the metrics that `wanted` names and ignores the others.
    pub fn only(format: Format, wanted: impl Fn(&Metric) -> bool) -> Self {
        let wanted = ALL.iter().map(|metric| wanted(metric)).collect();
        let families = std::iter::repeat_with(Samples::default).take(ALL.len()).collect();
        Self { format, wanted, families, counting_since: 0.0 }
    }

    /// Counters and summaries that follow count since this time, in seconds since 1970 UTC; 0 where that is not known.
    pub fn counting_since(&mut self, time: f64) {
        self.counting_since = time;
    }

    /// Add one sample of a gauge or counter; `labels` are the values in the order of the declaration.
    pub fn set(&mut self, metric: &'static Metric, labels: &[&str], value: f64) {
        self.add(metric, labels, |sample| match metric.kind {
            MetricKind::Counter => {
                let mut counter = proto::Counter::default();
                counter.set_value(value);
                sample.set_counter(counter);
            }
            MetricKind::Gauge | MetricKind::Summary => {
                let mut gauge = proto::Gauge::default();
                gauge.set_value(value);
                sample.set_gauge(gauge);
            }
        });
    }

    /// The same with labels of the operator's own behind those of the declaration.
    pub fn set_with(
        &mut self,
        metric: &'static Metric,
        labels: &[&str],
        more: &std::collections::BTreeMap<String, String>,
        value: f64,
    ) {
        self.set(metric, labels, value);
        if self.wanted[metric.place]
            && let Some(sample) = self.families[metric.place].metrics.last_mut()
        {
            let mut all = sample.take_label();
            all.extend(more.iter().map(|(name, value)| pair(name, value)));
            sample.set_label(all);
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
        self.add(metric, labels, |sample| {
            let quantile = |(quantile, value): &(f64, f64)| {
                let mut pair = proto::Quantile::default();
                pair.set_quantile(*quantile);
                pair.set_value(*value);
                pair
            };
            let mut summary = proto::Summary::default();
            summary.set_quantile(quantiles.iter().map(quantile).collect());
            summary.set_sample_sum(sum);
            summary.set_sample_count(count);
            sample.set_summary(summary);
        });
    }

    fn add(&mut self, metric: &'static Metric, labels: &[&str], fill: impl FnOnce(&mut proto::Metric)) {
        debug_assert_eq!(metric.labels.len(), labels.len(), "labels of {}", metric.name);
        if !self.wanted[metric.place] {
            return;
        }
        let labels = metric.labels.iter().zip(labels).map(|(name, value)| pair(name, value));
        let mut sample = proto::Metric::from_label(labels.collect());
        fill(&mut sample);
        let family = &mut self.families[metric.place];
        family.metrics.push(sample);
        if metric.kind != MetricKind::Gauge {
            family.since.push(self.counting_since);
        }
    }

    /// The wanted metrics in the order of the catalogue, those without samples too.
    pub fn into_families(self) -> impl Iterator<Item = Family> {
        let format = self.format;
        let all = ALL.iter().zip(self.families).zip(self.wanted).filter(|(_, wanted)| *wanted);
        all.map(move |((metric, samples), _)| Family { metric, text: write(metric, samples, format) })
    }

    /// The whole document.
    pub fn encode(self) -> String {
        let end = self.format.end();
        self.into_families().map(|family| family.text).collect::<String>() + end
    }
}

fn pair(name: &str, value: &str) -> proto::LabelPair {
    let mut pair = proto::LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

fn write(metric: &'static Metric, samples: Samples, format: Format) -> String {
    let mut text = String::new();
    if samples.metrics.is_empty() {
        return text;
    }
    let mut family = MetricFamily::default();
    family.set_name(metric.name.to_owned());
    family.set_help(metric.help.to_owned());
    family.set_field_type(match metric.kind {
        MetricKind::Gauge => proto::MetricType::GAUGE,
        MetricKind::Counter => proto::MetricType::COUNTER,
        MetricKind::Summary => proto::MetricType::SUMMARY,
    });
    family.set_metric(samples.metrics);
    match format {
        Format::OpenMetrics => openmetrics::write(&mut text, &family, metric.unit, &samples.since),
        Format::Text => {
            let mut bytes = Vec::new();
            // It fails for families without a name or samples and for writers that fail; this is none of them.
            let written = TextEncoder::new().encode(&[family], &mut bytes);
            debug_assert!(written.is_ok(), "{}: {written:?}", metric.name);
            text = String::from_utf8(bytes).unwrap_or_default();
        }
    }
    text
}

//! Families of samples, and how they are written as text.

use prometheus::proto;
use prometheus::{Encoder, TextEncoder};

use super::catalogue::{ALL, Metric, MetricKind};
use crate::error::{OrFailed, Result};

/// Content type of [`encode`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Samples being collected for one scrape, by metric of the catalogue.
#[derive(Debug)]
pub struct Exposition {
    families: Vec<Vec<proto::Metric>>,
}

impl Default for Exposition {
    fn default() -> Self {
        Self { families: vec![Vec::new(); ALL.len()] }
    }
}

impl Exposition {
    /// Add one sample of a gauge or counter; `labels` are the values in the order of the declaration.
    pub fn set(&mut self, metric: &'static Metric, labels: &[&str], value: f64) {
        let mut sample = labelled(metric, labels);
        match metric.kind {
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
        }
        self.add(metric, sample);
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
        let mut sample = labelled(metric, labels);
        sample.set_summary(summary);
        self.add(metric, sample);
    }

    fn add(&mut self, metric: &'static Metric, sample: proto::Metric) {
        let index = ALL.iter().position(|declared| std::ptr::eq(*declared, metric));
        self.families[index.expect("only metrics of the catalogue can be named")].push(sample);
    }

    /// The families that have samples, in the order of the catalogue.
    pub fn finish(self) -> Vec<proto::MetricFamily> {
        let filled = ALL.iter().zip(self.families).filter(|(_, samples)| !samples.is_empty());
        filled
            .map(|(metric, samples)| {
                let mut family = proto::MetricFamily::default();
                family.set_name(metric.name.to_owned());
                family.set_help(metric.help.to_owned());
                family.set_field_type(match metric.kind {
                    MetricKind::Gauge => proto::MetricType::GAUGE,
                    MetricKind::Counter => proto::MetricType::COUNTER,
                    MetricKind::Summary => proto::MetricType::SUMMARY,
                });
                family.set_metric(samples);
                family
            })
            .collect()
    }
}

fn labelled(metric: &Metric, values: &[&str]) -> proto::Metric {
    debug_assert_eq!(metric.labels.len(), values.len(), "labels of {}", metric.name);
    let pair = |(name, value): (&&str, &&str)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    proto::Metric::from_label(metric.labels.iter().zip(values).map(pair).collect())
}

/// Text format 0.0.4. Errors: never for what the collector makes.
pub fn encode(families: &[proto::MetricFamily]) -> Result<String> {
    let mut text = Vec::new();
    TextEncoder::new().encode(families, &mut text).or_failed("encode metrics")?;
    String::from_utf8(text).or_failed("encode metrics")
}

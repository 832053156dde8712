//! OpenMetrics 1.0, written from families in the types of the `prometheus` crate.

use std::fmt::Write;

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

/// Append `family`, of which `unit` is the base unit (`1`: none). `since` has, for each sample of a counter or summary, the
/// time since which it counts, in seconds since 1970 UTC; 0 where that is not known.
pub(super) fn write(out: &mut String, family: &MetricFamily, unit: &str, since: &[f64]) {
    let kind = family.get_field_type();
    // The suffix belongs to the sample, not to the family.
    let name = match kind {
        MetricType::COUNTER => family.name().strip_suffix("_total").unwrap_or(family.name()),
        _ => family.name(),
    };
    let kind_name = match kind {
        MetricType::COUNTER => "counter",
        MetricType::SUMMARY => "summary",
        _ => "gauge",
    };
    let _ = write!(out, "# HELP {name} ");
    escape(out, family.help());
    let _ = write!(out, "\n# TYPE {name} {kind_name}\n");
    if unit != "1" {
        let _ = writeln!(out, "# UNIT {name} {unit}");
    }
    for (at, metric) in family.get_metric().iter().enumerate() {
        match kind {
            MetricType::COUNTER => sample(out, (name, "_total"), metric, None, metric.get_counter().get_value()),
            MetricType::SUMMARY => summary(out, name, metric),
            _ => sample(out, (name, ""), metric, None, metric.get_gauge().get_value()),
        }
        if let Some(since) = since.get(at).filter(|since| **since > 0.0) {
            sample(out, (name, "_created"), metric, None, *since);
        }
    }
}

fn summary(out: &mut String, name: &str, metric: &Metric) {
    let summary = metric.get_summary();
    for pair in summary.get_quantile() {
        sample(out, (name, ""), metric, Some(pair.quantile()), pair.value());
    }
    sample(out, (name, "_sum"), metric, None, summary.sample_sum());
    sample(out, (name, "_count"), metric, None, summary.sample_count() as f64);
}

fn sample(out: &mut String, (name, suffix): (&str, &str), metric: &Metric, quantile: Option<f64>, value: f64) {
    out.push_str(name);
    out.push_str(suffix);
    let mut before = '{';
    for label in metric.get_label() {
        pair(out, before, label);
        before = ',';
    }
    if let Some(quantile) = quantile {
        // As OpenMetrics and Prometheus 3 want it: 1 is 1.0.
        let _ = write!(out, "{before}quantile=\"{quantile:?}\"");
        before = ',';
    }
    out.push_str(if before == ',' { "} " } else { " " });
    number(out, value);
    out.push('\n');
}

fn pair(out: &mut String, before: char, label: &LabelPair) {
    out.push(before);
    out.push_str(label.name());
    out.push_str("=\"");
    escape(out, label.value());
    out.push('"');
}

fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\\' | '"' => out.extend(['\\', character]),
            _ => out.push(character),
        }
    }
}

fn number(out: &mut String, value: f64) {
    let _ = if value.is_nan() {
        write!(out, "NaN")
    } else if value.is_infinite() {
        write!(out, "{}Inf", if value > 0.0 { '+' } else { '-' })
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
    fn numbers_are_spelt_as_the_format_wants_them() {
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
    fn labels_and_help_are_escaped() {
        let mut out = String::new();
        escape(&mut out, "a\\b\"c\nd");
        assert_eq!(out, r#"a\\b\"c\nd"#);
    }
}

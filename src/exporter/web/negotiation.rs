//! Which form of the exposition a client wants, from `Accept` and `Accept-Encoding`.
//!
//! Who says nothing we know gets the text format: an answer of a known type is of more use than none.

use hyper::HeaderMap;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, HeaderName};

use crate::exporter::exposition::Format;
use crate::exporter::rendering::Form;

/// The form that a request with these headers is answered in.
pub(super) fn form(headers: &HeaderMap) -> Form {
    Form { format: format(&list(headers, &ACCEPT)), gzip: gzip(&list(headers, &ACCEPT_ENCODING)) }
}

/// All lines of a header as one list. What is not text says nothing.
fn list(headers: &HeaderMap, name: &HeaderName) -> String {
    let lines: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    lines.join(",")
}

/// One entry of such a list.
struct Entry<'h> {
    name: String,
    parameters: Vec<(String, &'h str)>,
    /// In thousandths; 0 means "not this".
    quality: u16,
}

impl Entry<'_> {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }
}

fn entries(list: &str) -> impl Iterator<Item = Entry<'_>> {
    list.split(',').filter_map(|item| {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().filter(|name| !name.is_empty())?.to_ascii_lowercase();
        let mut parameters: Vec<(String, &str)> = parts
            .filter_map(|part| part.split_once('='))
            .map(|(key, value)| (key.trim().to_ascii_lowercase(), value.trim().trim_matches('"')))
            .collect();
        let place = parameters.iter().position(|(key, _)| key == "q");
        let quality = place.map_or(Some(1000), |place| quality(parameters.remove(place).1))?;
        Some(Entry { name, parameters, quality })
    })
}

/// `0.75` is 750. None for what is no quality: the entry is nonsense.
fn quality(text: &str) -> Option<u16> {
    let value: f64 = text.parse().ok()?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // it is between 0 and 1000
    (0.0..=1.0).contains(&value).then(|| (value * 1000.0).round() as u16)
}

/// The format that an entry asks for; none for what we do not speak.
fn format_of(entry: &Entry<'_>) -> Option<Format> {
    match (entry.name.as_str(), entry.parameter("version")) {
        ("application/openmetrics-text", None | Some("1.0.0")) => Some(Format::OpenMetrics),
        ("text/plain", None | Some("0.0.4")) | ("text/*" | "*/*", _) => Some(Format::Text),
        _ => None,
    }
}

fn format(accept: &str) -> Format {
    let mut best = (0, Format::Text);
    for entry in entries(accept) {
        // Of what is wanted equally the first one named.
        if let Some(format) = format_of(&entry).filter(|_| entry.quality > best.0) {
            best = (entry.quality, format);
        }
    }
    best.1
}

fn gzip(accept_encoding: &str) -> bool {
    let quality = |names: &[&str]| {
        entries(accept_encoding).find(|entry| names.contains(&entry.name.as_str())).map(|entry| entry.quality)
    };
    let gzip = quality(&["gzip", "x-gzip"]).or_else(|| quality(&["*"])).unwrap_or(0);
    // As it is is always acceptable, but only wanted more if somebody says so.
    gzip > 0 && gzip >= quality(&["identity"]).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_of_every_age_gets_openmetrics_and_people_get_text() {
        let by_2_42 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                       text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let by_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                    application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
                    text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        let by_3_with_histograms = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
             application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.2";
        for accept in [by_2_42, by_3, by_3_with_histograms, "Application/OpenMetrics-Text; Version=\"1.0.0\""] {
            assert_eq!(format(accept), Format::OpenMetrics, "{accept}");
        }
        let by_browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for accept in ["", "*/*", "text/plain", "text/plain;version=0.0.4", by_browser, ",;=,;q", "nonsense"] {
            assert_eq!(format(accept), Format::Text, "{accept}");
        }
    }

    #[test]
    fn quality_decides_and_zero_means_no() {
        let cases = [
            ("application/openmetrics-text;q=0.5, text/plain;q=0.6", Format::Text),
            ("application/openmetrics-text;q=0.6, text/plain;q=0.5", Format::OpenMetrics),
            ("text/plain;q=0.5, application/openmetrics-text;q=0.5", Format::Text),
            ("application/openmetrics-text;q=0", Format::Text),
            ("application/openmetrics-text;version=0.0.1", Format::Text),
            ("application/openmetrics-text;q=2, text/plain;q=0.1", Format::Text),
            ("application/openmetrics-text;q=NaN", Format::Text),
        ];
        for (accept, wanted) in cases {
            assert_eq!(format(accept), wanted, "{accept}");
        }
    }

    #[test]
    fn gzip_is_used_where_it_is_wanted_no_less_than_plain_text() {
        for yes in
            ["gzip", "deflate, gzip;q=1.0, *;q=0.5", "x-gzip", "*", "GZIP;q=0.1", "gzip, identity", "br;q=1, gzip"]
        {
            assert!(gzip(yes), "{yes}");
        }
        for no in ["", "identity", "gzip;q=0", "gzip;q=0, *", "identity;q=1, gzip;q=0.5", "br", "*;q=0", "gzip;q=x"] {
            assert!(!gzip(no), "{no}");
        }
    }
}

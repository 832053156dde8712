//! What a PromQL expression is made of. promtool says whether it is valid; this says what it names.

/// The parts of an expression.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expression {
    /// Series that are selected.
    pub selectors: Vec<Selector>,
    /// Numbers, as they are written.
    pub numbers: Vec<String>,
    /// Ranges in brackets, and offsets.
    pub durations: Vec<String>,
    /// `on`, `by`, `group_left`, … with their labels.
    pub groupings: Vec<(String, Vec<String>)>,
}

/// A name with what is asked of its labels.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// Empty where only labels are given.
    pub name: String,
    /// Label, operator, value.
    pub matchers: Vec<(String, String, String)>,
}

impl Selector {
    pub fn label(&self, name: &str) -> Option<&str> {
        self.matchers.iter().find(|(label, ..)| label == name).map(|(.., value)| value.as_str())
    }
}

const GROUPINGS: [&str; 6] = ["on", "ignoring", "by", "without", "group_left", "group_right"];
const OPERATORS: [&str; 5] = ["and", "or", "unless", "bool", "atan2"];

/// Take an expression apart.
pub fn parse(text: &str) -> Expression {
    let mut out = Expression::default();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '{' => matchers(rest, &mut Selector::default(), &mut out),
            '[' => {
                let (range, after) = rest[1..].split_once(']').unwrap();
                out.durations.push(range.to_owned());
                after
            }
            '0'..='9' => {
                let (number, after) = word(rest);
                out.numbers.push(number.to_owned());
                after
            }
            _ if is_of_word(first) => named(rest, &mut out),
            _ => &rest[first.len_utf8()..],
        };
        rest = rest.trim_start();
    }
    out
}

fn is_of_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "_:.".contains(letter)
}

fn word(text: &str) -> (&str, &str) {
    text.split_at(text.find(|letter| !is_of_word(letter)).unwrap_or(text.len()))
}

fn named<'t>(text: &'t str, out: &mut Expression) -> &'t str {
    let (name, after) = word(text);
    let next = after.trim_start();
    if GROUPINGS.contains(&name) {
        let Some(list) = next.strip_prefix('(') else { return after };
        let (labels, after) = list.split_once(')').unwrap();
        let labels = labels.split(',').map(str::trim).filter(|label| !label.is_empty()).map(str::to_owned).collect();
        out.groupings.push((name.to_owned(), labels));
        return after;
    }
    if name == "offset" {
        let (duration, after) = word(next);
        out.durations.push(duration.to_owned());
        return after;
    }
    if OPERATORS.contains(&name) || next.starts_with('(') {
        return after;
    }
    let mut selector = Selector { name: name.to_owned(), ..Selector::default() };
    if after.starts_with('{') {
        return matchers(after, &mut selector, out);
    }
    out.selectors.push(selector);
    // `sum by (…) (…)`: an aggregation is no series.
    if GROUPINGS.contains(&word(next).0) && ["sum", "min", "max", "count", "avg"].contains(&name) {
        out.selectors.pop();
    }
    after
}

fn matchers<'t>(text: &'t str, selector: &mut Selector, out: &mut Expression) -> &'t str {
    let mut rest = text[1..].trim_start();
    while !rest.starts_with('}') {
        let (label, after) = word(rest);
        let (operator, after) = after.trim_start().split_once('"').unwrap();
        let (value, after) = after.split_once('"').unwrap();
        selector.matchers.push((label.to_owned(), operator.trim().to_owned(), value.to_owned()));
        rest = after.trim_start().trim_start_matches(',').trim_start();
    }
    out.selectors.push(std::mem::take(selector));
    &rest[1..]
}

#[test]
fn an_expression_is_taken_apart() {
    let found = parse(
        "abs((a_bytes{kind=\"full\", job!~\"x|y\"} > 0) / on (job, source) group_left () x:b:median14d - 1) > 0.5\n\
         and on (job) sum by (job) (rate(c_total[14d:1h])) < 7 * (d offset 1d - time())",
    );
    let names: Vec<&str> = found.selectors.iter().map(|selector| selector.name.as_str()).collect();
    assert_eq!(names, ["a_bytes", "x:b:median14d", "c_total", "d"]);
    assert_eq!(found.selectors[0].label("kind"), Some("full"));
    assert_eq!(found.selectors[0].matchers[1], ("job".into(), "!~".into(), "x|y".into()));
    assert_eq!(found.numbers, ["0", "1", "0.5", "7"]);
    assert_eq!(found.durations, ["14d:1h", "1d"]);
    let lists: Vec<(&str, usize)> = found.groupings.iter().map(|(word, list)| (word.as_str(), list.len())).collect();
    assert_eq!(lists, [("on", 2), ("group_left", 0), ("on", 1), ("by", 1)]);
}

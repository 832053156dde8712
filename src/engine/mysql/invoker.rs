//! Views that run with the rights of whoever asks, over functions that the backup account may not run. The server refuses
//! those, whole or broken: at the first such function it looks no further. So what is left of a view without its calls is
//! resolved instead, never run, and the functions are looked for by name.

use super::connection::{Refusal, Session};
use super::examined::Examined;
use super::names;
use super::relations::Relation;
use super::views;
use crate::domain::left_out::LeftOut;
use crate::error::Result;

/// What the server says of something that a statement names and that is gone.
const GONE: [u16; 2] = [1054, 1146];
/// A function that is gone.
const NO_FUNCTION: u16 = 1305;

/// Why the view of this `definition` in `database` cannot be read by anybody; none if it is whole or nobody can tell.
/// `shown`: databases whose functions the account sees.
pub fn broken(session: &mut Session, database: &str, definition: &str, shown: &[String]) -> Result<Option<Refusal>> {
    let Some(select) = select(definition) else { return Ok(None) };
    let (rest, calls) = without_calls(select);
    for (schema, name) in calls {
        let schema = schema.unwrap_or_else(|| database.to_owned());
        let known = format!(
            "SELECT 1 FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {} AND ROUTINE_NAME = {}",
            names::quote_text(&schema),
            names::quote_text(&name)
        );
        if shown.contains(&schema) && session.value(&known)?.is_none() {
            let message = format!("FUNCTION {} does not exist", names::qualified(&schema, &name));
            return Ok(Some(Refusal { number: NO_FUNCTION, message }));
        }
    }
    let answer = session.ask(&format!("PREPARE backup_sla_view FROM {}", names::quote_text(&rest)))?;
    let refusal = answer.err();
    if refusal.is_none() {
        session.rows("DEALLOCATE PREPARE backup_sla_view")?;
    }
    Ok(refusal.filter(|refusal| GONE.contains(&refusal.number)))
}

/// The view as what a backup has not.
pub fn left_out(view: &Relation, reason: &str, definition: &str) -> LeftOut {
    LeftOut {
        kind: "view".to_owned(),
        name: names::qualified(&view.database, &view.name),
        reason: reason.to_owned(),
        definition: Some(definition.to_owned()),
    }
}

/// Of the views that cannot be described, leave out those over a table or view that is left out: nobody could make them.
pub fn leave_out_what_uses_the_missing(session: &mut Session, out: &mut Examined) -> Result<()> {
    let path = |one: &LeftOut| {
        let (database, name) =
            names::split_qualified(&one.name).filter(|_| matches!(one.kind.as_str(), "table" | "view"))?;
        Some((one.name.clone(), format!("{}.{}", names::quote(&database), names::quote(&name))))
    };
    let mut definitions = Vec::new();
    for view in std::mem::take(&mut out.undescribed) {
        let show = format!("SHOW CREATE VIEW {}.{}", names::quote(&view.database), names::quote(&view.name));
        let shown = session.ask(&show)?.ok().and_then(|rows| rows.into_iter().next()?.into_iter().nth(1)?);
        definitions.push((view, shown.unwrap_or_default()));
    }
    // Each that is left out may be used by another.
    let mut seen = 0;
    while let Some(missing) = out.left_out.get(seen) {
        let found = path(missing);
        seen += 1;
        let Some((name, path)) = found else { continue };
        let uses = |(view, text): &(Relation, String)| {
            text.contains(&path) && format!("{}.{}", names::quote(&view.database), names::quote(&view.name)) != path
        };
        let (lost, kept): (Vec<_>, Vec<_>) = definitions.into_iter().partition(uses);
        definitions = kept;
        let reason = format!("it uses {name}, which is left out");
        out.left_out.extend(lost.iter().map(|(view, text)| left_out(view, &reason, text)));
    }
    out.undescribed = definitions.into_iter().map(|(view, _)| view).collect();
    Ok(())
}

/// The `SELECT` of a view.
fn select(definition: &str) -> Option<&str> {
    let (_, rest) = definition.split_once(" SQL SECURITY INVOKER VIEW ")?;
    let (chain, rest) = chain(rest)?;
    let rest = rest.strip_prefix(" AS ").filter(|_| chain.len() <= 2)?;
    let end = views::CHECKS.iter().find_map(|check| rest.strip_suffix(check));
    Some(end.unwrap_or(rest)).filter(|select| select.starts_with("select "))
}

/// Identifiers with dots between them at the beginning of `text`, and what follows.
fn chain(text: &str) -> Option<(Vec<String>, &str)> {
    let (mut found, mut rest) = (Vec::new(), text);
    loop {
        let length = quoted_length(rest, '`')?;
        found.push(rest[1..length - 1].replace("``", "`"));
        rest = &rest[length..];
        match rest.strip_prefix('.').filter(|more| more.starts_with('`')) {
            Some(more) => rest = more,
            None => return Some((found, rest)),
        }
    }
}

/// Length in bytes of what stands in quotes at the beginning of `text`, quotes included.
fn quoted_length(text: &str, quote: char) -> Option<usize> {
    let mut chars = text.char_indices().peekable();
    chars.next().filter(|(_, first)| *first == quote)?;
    while let Some((at, c)) = chars.next() {
        if c == '\\' && quote != '`' {
            chars.next();
        } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return Some(at + 1);
        }
    }
    None
}

/// A function: its database where that is named, and its name.
type Call = (Option<String>, String);

/// `select` with NULL in place of each call of a stored function, and the functions that are named by more than their package.
fn without_calls(select: &str) -> (String, Vec<Call>) {
    let (mut out, mut calls, mut rest) = (String::new(), Vec::new(), select);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' => quoted_length(rest, first).unwrap_or(rest.len()),
            '`' => match chain(rest) {
                Some((names, after)) if after.starts_with('(') => {
                    // Arguments may hold calls, too.
                    let end = closing(after).unwrap_or(after.len());
                    calls.extend(without_calls(&after[..end]).1);
                    calls.extend(call(names));
                    out.push_str("NULL");
                    rest = &after[end..];
                    continue;
                }
                Some((_, after)) => rest.len() - after.len(),
                None => rest.len(),
            },
            other => other.len_utf8(),
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    (out, calls)
}

fn call(mut names: Vec<String>) -> Option<Call> {
    let name = names.pop()?;
    let schema = names.pop();
    // With a third name in front it is a package's function.
    names.is_empty().then_some((schema, name))
}

/// Where the parenthesis that `text` begins with is closed: behind it.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut at) = (0_u32, 0);
    while let Some(first) = text[at..].chars().next() {
        at += match first {
            '\'' | '"' | '`' => quoted_length(&text[at..], first)?,
            other => other.len_utf8(),
        };
        match first {
            '(' => depth += 1,
            ')' if depth == 1 => return Some(at),
            ')' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_select_of_a_view_is_found_whatever_the_view_is_called() {
        let of = |name: &str, end: &str| {
            format!(
                "CREATE ALGORITHM=UNDEFINED DEFINER=`a`@`b` SQL SECURITY INVOKER VIEW {name} AS select 1 AS `x`{end}"
            )
        };
        for name in ["`d`.`v`", "`v`", "`d`.`a AS b`", "`d```.`x``.y`"] {
            assert_eq!(select(&of(name, "")), Some("select 1 AS `x`"), "{name}");
        }
        assert_eq!(select(&of("`v`", " WITH LOCAL CHECK OPTION")), Some("select 1 AS `x`"));
        assert_eq!(select(&of("`v`", "").replace("INVOKER", "DEFINER")), None);
        assert_eq!(select(&of("`v`", "").replace("select 1", "with c as (select 1) select 1")), None);
    }

    #[test]
    fn calls_are_taken_out_and_nothing_that_looks_like_one() {
        let of = |text: &str| {
            let (rest, calls) = without_calls(text);
            let calls = calls
                .into_iter()
                .map(|(schema, name)| schema.map_or(name.clone(), |schema| format!("{schema}.{name}")));
            (rest, calls.collect::<Vec<_>>())
        };
        let none: Vec<String> = Vec::new();
        let plain =
            r"select 'it\'s `d`.`f`(' AS `q(`,`d`.`t`.`a` AS `f(` from `d`.`t` where (`d`.`t`.`a` = 1) and max(1)";
        assert_eq!(of(plain), (plain.to_owned(), none.clone()));
        assert_eq!(
            of("select `d`.`f`() + `g`(1,')') AS `x`"),
            ("select NULL + NULL AS `x`".to_owned(), vec!["d.f".to_owned(), "g".to_owned()])
        );
        assert_eq!(
            of("select `f`(`d`.`g`(2),(3)) AS `x`"),
            ("select NULL AS `x`".to_owned(), vec!["d.g".to_owned(), "f".to_owned()])
        );
        assert_eq!(of("select `d`.`p`.`f`() AS `x`"), ("select NULL AS `x`".to_owned(), none));
        assert_eq!(
            of("select max(`f``g`()) from `t`"),
            ("select max(NULL) from `t`".to_owned(), vec!["f`g".to_owned()])
        );
    }
}

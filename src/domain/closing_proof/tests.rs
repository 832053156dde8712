use super::*;
use crate::domain::digest::Digest;
use crate::domain::manifest::ObjectFacts;
use crate::domain::promise::TableChanges;

fn table(name: &str, content: &str) -> TableFacts {
    TableFacts {
        name: name.to_owned(),
        rows: 7,
        digest: Digest::of(content.as_bytes()),
        definition: Digest::of(b"definition"),
        newest: BTreeMap::new(),
        next_id: Some(8),
    }
}

fn object(kind: ObjectKind, name: &str, definition: &str) -> ObjectFacts {
    let definition = Digest::of(definition.as_bytes());
    ObjectFacts { kind, name: name.to_owned(), definition, shown: None, definer: None, ends: None }
}

fn shop(tables: &[TableFacts], objects: &[ObjectFacts]) -> Inventory {
    let database = object(ObjectKind::Database, "d", "d");
    Inventory { tables: tables.to_vec(), objects: [&[database], objects].concat(), reach: None }
}

fn changes(tables: &[(&str, TableChanges)]) -> Changes {
    let tables = tables.iter().map(|(name, changes)| ((*name).to_owned(), changes.clone())).collect();
    Changes { tables, ..Changes::default() }
}

/// The checks that fail, and what is said.
fn judged(
    promised: &Inventory,
    found: &Inventory,
    replayed: &[Changes],
    outside: &[&str],
) -> (Vec<String>, Vec<String>) {
    let base = shop(&[table("d.t", "before")], &[]);
    let outside: Vec<String> = outside.iter().map(|name| (*name).to_owned()).collect();
    let chain = Closed { base: &base, replayed, outside: &outside, left_out: &BTreeSet::new(), may_be_half: false };
    let Judged { comparison, notes, .. } = compare_closed(promised, found, &chain);
    (comparison.checks.into_iter().filter(|check| !check.ok).map(|check| check.name).collect(), notes)
}

#[test]
fn everything_of_the_next_full_backup_must_be_there_and_be_the_same() {
    let promised = shop(&[table("d.t", "now"), table("d.u", "u")], &[object(ObjectKind::View, "d.v", "1")]);
    assert_eq!(judged(&promised, &promised, &[], &[]), (vec![], vec![]));
    let found = shop(&[table("d.t", "other")], &[object(ObjectKind::View, "d.v", "2")]);
    let (wrong, notes) = judged(&promised, &found, &[], &[]);
    assert_eq!((wrong, notes.len()), (vec!["content d.t".into(), "table d.u".into(), "view d.v".into()], 0));
    let more =
        shop(&[table("d.t", "now"), table("d.u", "u"), table("d.w", "w")], &[object(ObjectKind::View, "d.v", "1")]);
    assert_eq!(judged(&promised, &more, &[], &[]).0, ["table d.w"]);
}

#[test]
fn rows_that_were_read_outside_of_the_snapshot_prove_nothing_even_where_they_agree() {
    let promised = shop(&[table("d.t", "now"), table("d.m", "m")], &[]);
    for content in ["m", "later"] {
        let found = shop(&[table("d.t", "now"), table("d.m", content)], &[]);
        let said = "rows of table d.m not proved: the next full backup read it outside of its snapshot";
        assert_eq!(judged(&promised, &found, &[], &["d.m"]), (vec![], vec![said.to_owned()]));
    }
    let gone = shop(&[table("d.t", "now")], &[]);
    assert_eq!(judged(&promised, &gone, &[], &["d.m"]).0, ["table d.m"], "it must be there");
}

#[test]
fn what_a_statement_gives_anew_may_differ_is_named_then_and_follows_the_table() {
    let varies = TableChanges { varies: Some("why".into()), redefined: true, ..TableChanges::default() };
    let renamed = TableChanges { origin: Origin::Renamed("d.t".into()), ..TableChanges::default() };
    let emptied = TableChanges { origin: Origin::Nothing, ..TableChanges::default() };
    let gone = TableChanges { origin: Origin::Gone, ..TableChanges::default() };
    let chain = [changes(&[("d.t", varies)]), changes(&[("d.x", TableChanges::default())])];
    let promised = |name: &str| shop(&[table(name, "one"), table("d.x", "x")], &[]);
    let found = |name: &str| shop(&[table(name, "another"), table("d.x", "x")], &[]);
    let (wrong, notes) = judged(&promised("d.t"), &found("d.t"), &chain, &[]);
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(notes, ["rows of table d.t not proved: a statement on it gives other values when it is run again"]);
    assert_eq!(judged(&promised("d.t"), &promised("d.t"), &chain, &[]), (vec![], vec![]), "the same is proof");
    let moved = [chain[0].clone(), changes(&[("d.t", gone), ("d.y", renamed)])];
    assert_eq!(judged(&promised("d.y"), &found("d.y"), &moved, &[]).0, Vec::<String>::new());
    let anew = [chain[0].clone(), changes(&[("d.t", emptied)])];
    assert_eq!(judged(&promised("d.t"), &found("d.t"), &anew, &[]).0, ["content d.t"]);
    let other = shop(&[table("d.t", "one"), table("d.x", "wrong")], &[]);
    assert_eq!(judged(&promised("d.t"), &other, &chain, &[]).0, ["content d.x"], "of others nothing is excused");
    let dropped = Changes { dropped: ["d".to_owned()].into(), ..Changes::default() };
    assert_eq!(varied(&[chain[0].clone(), dropped]), BTreeSet::new());
}

#[test]
fn rows_in_statement_format_may_differ_and_are_named_only_then() {
    let by_statements = [Changes { by_statements: true, ..Changes::default() }];
    let promised = shop(&[table("d.t", "one"), table("d.u", "u")], &[object(ObjectKind::View, "d.v", "1")]);
    let found = shop(&[table("d.t", "another"), table("d.u", "u")], &[object(ObjectKind::View, "d.v", "1")]);
    let (wrong, notes) = judged(&promised, &found, &by_statements, &[]);
    assert!(
        wrong.is_empty() && notes.len() == 1 && notes[0].starts_with("rows of table d.t not proved: rows"),
        "{notes:?}"
    );
    assert_eq!(judged(&promised, &promised, &by_statements, &[]), (vec![], vec![]));
    let without_view = shop(&[table("d.t", "one"), table("d.u", "u")], &[]);
    assert_eq!(judged(&promised, &without_view, &by_statements, &[]).0, ["view d.v"]);
}

/// Which tables are wrong, and whether the chain is proved whole, where these rows differ.
fn of_statements(stated: &[&str], differing: &[&str], base: &Inventory, rows: u64) -> (Vec<String>, bool) {
    let stated = stated.iter().map(|name| (*name).to_owned()).collect();
    let touched = TableChanges { inserted: 1, ..TableChanges::default() };
    let chain = [Changes { by_statements: true, stated, ..changes(&[("d.row", touched)]) }];
    let all = ["d.t", "d.row", "d.other", "e.t"];
    let of = |name: &str| {
        if differing.contains(&name) { TableFacts { rows, ..table(name, "other") } } else { table(name, "now") }
    };
    let promised =
        Inventory { tables: all.map(|name| table(name, "now")).to_vec(), objects: base.objects.clone(), reach: None };
    let found = Inventory { tables: all.map(of).to_vec(), objects: base.objects.clone(), reach: None };
    let left_out = BTreeSet::new();
    let chain = Closed { base, replayed: &chain, outside: &[], left_out: &left_out, may_be_half: false };
    let judged = compare_closed(&promised, &found, &chain);
    let wrong = judged.comparison.checks.into_iter().filter(|check| !check.ok).map(|check| check.name).collect();
    (wrong, judged.differs.is_empty())
}

#[test]
fn a_statement_excuses_the_tables_that_it_can_have_changed_and_the_chain_is_not_proved_whole_then() {
    let tables = [table("d.t", "t"), table("e.t", "t")];
    let (plain, nothing) = (shop(&tables, &[]), Vec::<String>::new());
    assert_eq!(of_statements(&["d.t"], &["d.t"], &plain, 9), (nothing.clone(), false));
    assert_eq!(of_statements(&["d.t"], &[], &plain, 7), (nothing.clone(), true), "what agrees is proof");
    for other in ["d.row", "d.other", "e.t"] {
        let content = vec![format!("content {other}")];
        assert_eq!(of_statements(&["d.t"], &[other], &plain, 7), (content, true), "{other}");
    }
    assert_eq!(of_statements(&["d.*"], &["d.other", "d.row"], &plain, 7), (nothing.clone(), false));
    assert_eq!(of_statements(&["d.*"], &["d.other"], &plain, 9), (nothing.clone(), false));
    assert_eq!(
        of_statements(&["d.*"], &["d.row"], &plain, 9),
        (vec!["rows d.row".into()], false),
        "rows are missing or more"
    );
    assert_eq!(of_statements(&["d.*"], &["e.t"], &plain, 7).0, ["content e.t"]);
    assert_eq!(of_statements(&["*"], &["e.t"], &plain, 7), (nothing.clone(), false));
    let triggers = shop(&tables, &[object(ObjectKind::Trigger, "d.x", "x")]);
    assert_eq!(
        of_statements(&["d.t"], &["d.other"], &triggers, 7),
        (nothing.clone(), false),
        "a trigger may have done it"
    );
    let view = shop(&tables, &[object(ObjectKind::View, "d.v", "v")]);
    assert_eq!(of_statements(&["d.v"], &["d.other"], &view, 7), (nothing, false));
    assert_eq!(of_statements(&["d.t"], &["d.other"], &view, 7).0, ["content d.other"]);
}

#[test]
fn what_statements_changed_goes_with_the_table_and_is_gone_when_it_is_emptied() {
    let stated = Changes { by_statements: true, stated: ["d.t".to_owned()].into(), ..Changes::default() };
    let renamed = TableChanges { origin: Origin::Renamed("d.t".into()), ..TableChanges::default() };
    let gone = TableChanges { origin: Origin::Gone, ..TableChanges::default() };
    let moved = [stated.clone(), changes(&[("d.t", gone), ("d.y", renamed)])];
    let judge = |name: &str, chain: &[Changes]| {
        judged(&shop(&[table(name, "one")], &[]), &shop(&[table(name, "another")], &[]), chain, &[]).0
    };
    assert_eq!(judge("d.y", &moved), [""; 0]);
    let emptied = TableChanges { origin: Origin::Nothing, ..TableChanges::default() };
    assert_eq!(judge("d.t", &[stated, changes(&[("d.t", emptied)])]), ["content d.t"]);
}

#[test]
fn numbers_that_were_used_up_and_events_that_ended_are_named_and_not_wrong() {
    let behind = TableFacts { next_id: Some(5), ..table("d.t", "now") };
    let event = |definition, ends: Option<&str>| ObjectFacts {
        ends: ends.map(|text| Digest::of(text.as_bytes())),
        ..object(ObjectKind::Event, "d.e", definition)
    };
    let with = |events: &[ObjectFacts]| shop(&[table("d.t", "now")], events);
    let (off, on) = (with(&[event("disabled", Some("e"))]), with(&[event("enabled", Some("e"))]));
    let found = shop(&[behind], &[event("enabled", Some("e"))]);
    let (wrong, notes) = judged(&off, &found, &[], &[]);
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(
        notes[0].starts_with("event d.e not proved") && notes[1].starts_with("the next number of table d.t not proved")
    );
    assert_eq!(judged(&with(&[]), &on, &[], &[]).0, [""; 0], "it was dropped at its end");
    assert_eq!(judged(&on, &with(&[]), &[], &[]).0, [""; 0]);
    for (promised, found) in [
        (Some(event("disabled", None)), Some(event("enabled", None))),
        (Some(event("enabled", None)), None),
        (None, Some(event("enabled", None))),
        (Some(event("one", Some("one"))), Some(event("other", Some("other")))),
        (Some(event("one", Some("e"))), Some(event("other", None))),
    ] {
        let all = |event: Option<ObjectFacts>| with(event.as_slice());
        assert_eq!(
            judged(&all(promised.clone()), &all(found.clone()), &[], &[]).0,
            ["event d.e"],
            "{promised:?} {found:?}"
        );
    }
}

#[test]
fn databases_that_only_the_next_full_backup_has_are_named_unless_the_chain_creates_them() {
    let database = object(ObjectKind::Database, "e", "e");
    let promised = shop(&[table("d.t", "now"), table("e.t", "e")], &[database]);
    let found = shop(&[table("d.t", "now")], &[]);
    let (wrong, notes) = judged(&promised, &found, &[], &[]);
    assert!(
        wrong.is_empty() && notes == ["database e not proved: the full backup of the chain has nothing of it"],
        "{notes:?}"
    );
    let made = [Changes { definitions: ["database e".to_owned()].into(), ..Changes::default() }];
    assert_eq!(judged(&promised, &found, &made, &[]).0, ["table e.t", "database e"]);
}

#[test]
fn what_a_full_backup_left_out_is_named() {
    let base = shop(&[table("d.t", "before")], &[]);
    let left_out = BTreeSet::from(["table d.u".to_owned()]);
    let chain = Closed { base: &base, replayed: &[], outside: &[], left_out: &left_out, may_be_half: false };
    let promised = shop(&[table("d.t", "now"), table("d.u", "u")], &[]);
    let Judged { comparison, notes, .. } = compare_closed(&promised, &shop(&[table("d.t", "now")], &[]), &chain);
    assert!(comparison.checks.iter().all(|check| check.ok) && comparison.tables.len() == 1);
    assert_eq!(notes, ["table d.u not proved: a full backup left it out"]);
}

#[test]
fn definitions_that_may_have_changed_while_the_next_full_backup_was_read_are_named_and_rows_are_held_all_the_same() {
    let base = shop(&[table("d.t", "before")], &[]);
    let (promised, found) =
        (shop(&[table("d.t", "now"), table("d.new", "n")], &[]), shop(&[table("d.t", "other")], &[]));
    let wrong = |may_be_half| {
        let left_out = BTreeSet::new();
        let chain = Closed { base: &base, replayed: &[], outside: &[], left_out: &left_out, may_be_half };
        let Judged { comparison, notes, .. } = compare_closed(&promised, &found, &chain);
        let wrong: Vec<String> = comparison.checks.into_iter().filter(|it| !it.ok).map(|it| it.name).collect();
        (wrong, notes.len())
    };
    assert_eq!(wrong(false), (vec!["content d.t".into(), "table d.new".into()], 0));
    assert_eq!(wrong(true), (vec!["content d.t".into()], 1));
}

#[test]
fn only_what_a_reason_names_is_excused_and_the_rest_counts_as_proved() {
    let outside = ["d.m".to_owned()];
    let base = shop(&[table("d.t", "before")], &[]);
    let left_out = BTreeSet::new();
    let chain = Closed { base: &base, replayed: &[], outside: &outside, left_out: &left_out, may_be_half: false };
    let promised = shop(&[table("d.t", "now"), table("d.m", "m")], &[]);
    let judged_whole = compare_closed(&promised, &promised, &chain);
    let counted: Vec<&str> = judged_whole.comparison.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(counted, ["d.t"]);
    // Another table got a new name than that which the statement was about.
    let stated = Changes { by_statements: true, stated: ["d.t".to_owned()].into(), ..Changes::default() };
    let renamed = TableChanges { origin: Origin::Renamed("d.other".into()), ..TableChanges::default() };
    let (one, another) = (shop(&[table("d.y", "one")], &[]), shop(&[table("d.y", "another")], &[]));
    assert_eq!(judged(&one, &another, &[stated, changes(&[("d.y", renamed)])], &[]).0, ["content d.y"]);
    // Row events that changed no row say nothing of how many there are.
    let stated = Changes { by_statements: true, stated: ["d.*".to_owned()].into(), ..Changes::default() };
    let less = shop(&[TableFacts { rows: 5, ..table("d.t", "less") }], &[]);
    let now = shop(&[table("d.t", "now")], &[]);
    for (inserted, wrong) in [(0, &[][..]), (1, &["rows d.t"][..])] {
        let touched = changes(&[("d.t", TableChanges { inserted, ..TableChanges::default() })]);
        assert_eq!(judged(&now, &less, &[stated.clone(), touched], &[]).0, wrong);
    }
}

#[test]
fn a_database_is_part_of_the_chain_if_its_full_backup_has_it_even_empty_or_nobody_knows_what_was_made() {
    let (e, view) = (object(ObjectKind::Database, "e", "e"), object(ObjectKind::View, "f.v", "v"));
    let left_out = BTreeSet::new();
    let wrong = |base: &Inventory, replayed: &[Changes], name: &str| {
        let chain = Closed { base, replayed, outside: &[], left_out: &left_out, may_be_half: false };
        let promised = shop(&[table(name, "now")], &[]);
        compare_closed(&promised, &shop(&[], &[]), &chain).comparison.checks.into_iter().filter(|it| !it.ok).count()
    };
    let base = shop(&[], &[e, view]);
    assert_eq!((wrong(&base, &[], "e.t"), wrong(&base, &[], "d.t")), (1, 1));
    assert_eq!((wrong(&base, &[], "f.t"), wrong(&base, &[], "g.t")), (0, 0), "a view is no database");
    let anything = [Changes { definitions: ["*".to_owned()].into(), ..Changes::default() }];
    assert_eq!(wrong(&base, &anything, "g.t"), 1);
}

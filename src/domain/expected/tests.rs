use proptest::prelude::*;

use super::*;

fn facts(name: &str, rows: u64) -> TableFacts {
    TableFacts {
        name: name.to_owned(),
        rows,
        digest: Digest::of(name.as_bytes()),
        definition: Digest::of(b"definition"),
        newest: BTreeMap::new(),
        next_id: Some(5),
    }
}

fn view(name: &str, definition: &str) -> ObjectFacts {
    let definition = Digest::of(definition.as_bytes());
    ObjectFacts { kind: ObjectKind::View, name: name.to_owned(), definition, shown: None, definer: None, ends: None }
}

fn inventory(tables: &[TableFacts], objects: &[ObjectFacts]) -> Inventory {
    Inventory { tables: tables.to_vec(), objects: objects.to_vec(), reach: None }
}

fn changes<const N: usize>(tables: [(&str, TableChanges); N]) -> Changes {
    Changes { tables: tables.map(|(name, table)| (name.to_owned(), table)).into(), ..Changes::default() }
}

fn rows(inserted: u64, deleted: u64) -> TableChanges {
    TableChanges { inserted, deleted, ..TableChanges::default() }
}

fn from(origin: Origin) -> TableChanges {
    TableChanges { origin, ..TableChanges::default() }
}

/// What is there in a backup of the databases that these tests use.
fn after(base: &Inventory, increments: &[&Changes]) -> Expected {
    let databases = ["d", "da", "e"].map(str::to_owned).into();
    Expected::in_databases(databases, base, increments.iter().copied())
}

/// Names of the checks, those that failed with a mark, and the notes.
fn held(base: &Inventory, increments: &[&Changes], found: &Inventory) -> (Vec<String>, Vec<String>) {
    let (comparison, notes) = after(base, increments).compare(found);
    let shown =
        |check: &crate::domain::drill::Check| if check.ok { check.name.clone() } else { format!("! {}", check.name) };
    (comparison.checks.iter().map(shown).collect(), notes)
}

#[test]
fn a_table_that_nothing_touched_must_be_exactly_as_it_was() {
    let base = inventory(&[facts("d.t", 7)], &[view("d.v", "1")]);
    let (checks, notes) = held(&base, &[&Changes::default(), &changes([("d.other", from(Origin::Gone))])], &base);
    assert_eq!(checks, ["definition d.t", "rows d.t", "content d.t", "next id d.t", "view d.v"]);
    assert_eq!(notes, [""; 0]);
    let other = inventory(&[TableFacts { digest: Digest::of(b"x"), rows: 8, ..facts("d.t", 7) }], &[view("d.v", "2")]);
    let (checks, _) = held(&base, &[], &other);
    assert_eq!(checks, ["definition d.t", "! rows d.t", "! content d.t", "next id d.t", "! view d.v"]);
    let (comparison, _) = after(&base, &[]).compare(&base);
    assert_eq!(comparison.tables.len(), 1);
}

#[test]
fn of_a_counted_table_the_number_is_compared_and_the_content_named_as_not_compared() {
    let base = inventory(&[facts("d.t", 7)], &[]);
    let increments = [&changes([("d.t", rows(5, 1))]), &changes([("d.t", rows(0, 3))])];
    let found = |rows| inventory(&[TableFacts { digest: Digest::of(b"x"), next_id: None, ..facts("d.t", rows) }], &[]);
    let (checks, notes) = held(&base, &increments, &found(8));
    assert_eq!(checks, ["definition d.t", "rows d.t"]);
    assert_eq!(notes, ["of table d.t the number of rows was compared, not their content: increments changed it"]);
    assert_eq!(held(&base, &increments, &found(9)).0, ["definition d.t", "! rows d.t"]);
    let (comparison, _) = after(&base, &increments).compare(&found(8));
    assert_eq!(comparison.tables, [], "its content is not known to be right");
    assert_eq!((comparison.counted.tables, comparison.counted.rows), (1, 8));
    let redefined = changes([("d.t", TableChanges { redefined: true, ..rows(0, 0) })]);
    let (checks, notes) = held(&base, &[&redefined], &found(7));
    assert_eq!(checks, ["rows d.t"]);
    assert!(notes[1].starts_with("definitions of table d.t were not compared"), "{notes:?}");
}

#[test]
fn a_table_that_is_missing_or_not_expected_is_a_failed_check() {
    let base = inventory(&[facts("d.t", 7)], &[]);
    let none = inventory(&[], &[]);
    for one in [rows(0, 0), from(Origin::Nothing), TableChanges { uncounted: Some("x".into()), ..rows(0, 0) }] {
        assert_eq!(held(&base, &[&changes([("d.t", one)])], &none).0, ["! table d.t"]);
    }
    let gone = changes([("d.t", from(Origin::Gone))]);
    assert_eq!(held(&base, &[&gone], &none).0, [""; 0]);
    assert_eq!(held(&base, &[&gone], &base).0, ["! table d.t"]);
    assert_eq!(held(&none, &[&changes([("d.new", from(Origin::Nothing))])], &none).0, ["! table d.new"]);
    assert_eq!(held(&none, &[&Changes::default()], &base).0, ["! table d.t"]);
    let dropped = Changes { dropped: ["d".to_owned()].into(), ..changes([("d.u", from(Origin::Nothing))]) };
    let beside = inventory(&[facts("d.t", 1), facts("da.t", 1)], &[view("d.v", "1"), view("da.v", "1")]);
    let (checks, _) = held(&beside, &[&dropped], &inventory(&[facts("da.t", 1)], &[]));
    assert_eq!(checks, ["! table d.u", "definition da.t", "rows da.t", "content da.t", "next id da.t", "! view da.v"]);
}

#[test]
fn what_cannot_be_counted_is_named_with_its_reason_and_never_passes() {
    let base = inventory(&[facts("d.a", 1), facts("d.b", 2)], &[]);
    let doubted = changes([("d.a", TableChanges { uncounted: Some("a cascade".into()), ..rows(1, 0) })]);
    let (checks, notes) = held(&base, &[&doubted, &changes([("d.a", rows(3, 0))])], &base);
    assert_eq!(checks, ["definition d.a", "definition d.b", "rows d.b", "content d.b", "next id d.b"]);
    assert_eq!(notes, ["rows of table d.a were not compared: a cascade"]);
    // Emptied, it is known again.
    let emptied = changes([("d.a", TableChanges { origin: Origin::Nothing, ..rows(4, 0) })]);
    assert_eq!(held(&base, &[&doubted, &emptied], &base).0[..2], ["definition d.a", "! rows d.a"]);
    let all =
        Changes { uncounted: Some("INSERT in statement format".into()), ..changes([("d.a", from(Origin::Nothing))]) };
    let (checks, notes) = held(&base, &[&all], &inventory(&[facts("d.a", 0), facts("d.b", 9)], &[]));
    assert_eq!(checks, ["definition d.a", "rows d.a", "definition d.b"]);
    assert_eq!(notes[0], "rows of table d.b were not compared: INSERT in statement format");
    let many = changes([("d.a", rows(0, 5))]);
    assert!(held(&base, &[&many], &base).1[0].ends_with("more rows of it were deleted than there were"));
    let mut expected = after(&base, &[]);
    expected.doubt("d.a", "it is outside of the snapshot");
    expected.doubt("d.none", "x");
    assert_eq!(expected.compare(&base).1, ["rows of table d.a were not compared: it is outside of the snapshot"]);
}

#[test]
fn what_was_counted_at_the_end_of_an_increment_is_so_whatever_the_log_says() {
    let base = inventory(&[facts("d.a", 1), facts("d.b", 2), facts("d.c", 3)], &[]);
    let counted = |tables: &[(&str, u64)], of: Changes| {
        let counted = tables.iter().map(|(name, rows)| ((*name).to_owned(), *rows)).collect();
        Changes { counted, ..of }
    };
    let all = Changes { uncounted: Some("INSERT in statement format".into()), ..Changes::default() };
    let first = counted(&[("d.a", 10), ("e.other", 7)], all);
    let found = |a, b| inventory(&[facts("d.a", a), facts("d.b", b), facts("d.c", 3)], &[]);
    let (checks, notes) = held(&base, &[&first], &found(10, 9));
    assert_eq!(checks, ["definition d.a", "rows d.a", "definition d.b", "definition d.c"]);
    assert_eq!(notes[0], "rows of 2 tables (d.b, d.c) were not compared: INSERT in statement format");
    // It goes on from there.
    let later = changes([("d.a", rows(2, 1))]);
    assert_eq!(held(&base, &[&first, &later], &found(11, 9)).0[1], "rows d.a");
    assert_eq!(held(&base, &[&first, &later], &found(10, 9)).0[1], "! rows d.a");
    // What nothing touched and was counted right keeps its content; counted otherwise, somebody changed it without the log.
    let same = counted(&[("d.b", 2)], Changes::default());
    assert!(held(&base, &[&same], &base).0.contains(&"content d.b".to_owned()));
    let other = counted(&[("d.b", 5)], Changes::default());
    assert!(held(&base, &[&other], &base).0.contains(&"! rows d.b".to_owned()));
}

#[test]
fn a_renamed_table_keeps_its_rows() {
    let base = inventory(&[facts("d.a", 3), facts("d.b", 5)], &[view("d.v", "1")]);
    let swap = changes([
        ("d.a", TableChanges { redefined: true, origin: Origin::Renamed("d.b".into()), ..rows(1, 0) }),
        ("d.b", TableChanges { redefined: true, origin: Origin::Renamed("d.a".into()), ..rows(0, 0) }),
        ("d.tmp", from(Origin::Gone)),
        // A view is renamed like a table.
        ("d.v", from(Origin::Gone)),
        ("d.w", from(Origin::Renamed("d.v".into()))),
    ]);
    let swap = Changes { definitions: ["view d.v", "view d.w"].map(str::to_owned).into(), ..swap };
    let found = inventory(&[facts("d.a", 6), facts("d.b", 3)], &[view("d.w", "1")]);
    assert_eq!(held(&base, &[&swap], &found).0, ["rows d.a", "rows d.b"]);
    let none = changes([("d.n", from(Origin::RenamedOrNothing("d.m".into())))]);
    assert_eq!(after(&base, &[&none]).tables()["d.n"].rows, Rows::Counted(0));
    let created = changes([("d.a", from(Origin::BeforeOrNothing)), ("d.n", from(Origin::BeforeOrNothing))]);
    let expected = after(&base, &[&created]);
    assert_eq!(
        (&expected.tables()["d.a"].rows, &expected.tables()["d.n"].rows),
        (&Rows::Counted(3), &Rows::Counted(0))
    );
}

#[test]
fn objects_are_as_they_were_unless_a_statement_named_them() {
    let account = |name: &str| ObjectFacts { kind: ObjectKind::Account, ..view(name, "x") };
    let program = ObjectFacts { kind: ObjectKind::Procedure, ..view("d.P", "x") };
    let base = inventory(&[], &[view("d.v", "1"), view("e.v", "1"), account("u@h"), program]);
    let named = |names: &[&str]| Changes {
        definitions: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Changes::default()
    };
    let found = inventory(&[], &[view("d.v", "2"), view("d.new", "1"), view("e.v", "1"), account("other@h")]);
    let all = ["view d.v", "view d.new", "account *", "procedure d.p"];
    let (checks, notes) = held(&base, &[&named(&all)], &found);
    assert_eq!(checks, ["view e.v"]);
    let want = "account other@h, account u@h, procedure d.P, view d.new, view d.v were not compared: statements of the increments \
                may have changed them";
    assert_eq!(notes, [want]);
    assert_eq!(held(&base, &[&named(&["view d.*", "account *", "procedure *"])], &found).0, ["view e.v"]);
    let (checks, _) = held(&base, &[&named(&["account *"])], &found);
    assert_eq!(checks, ["! view d.v", "view e.v", "! procedure d.P", "! view d.new"]);
    let (checks, notes) = held(&base, &[&named(&["*"])], &inventory(&[facts("d.t", 1)], &[]));
    assert_eq!(checks, [""; 0]);
    assert!(notes.last().unwrap().contains("not understood"));
    let base = inventory(&[facts("d.t", 7)], &[]);
    let (checks, _) = held(&base, &[&named(&["table *"])], &base);
    assert_eq!(checks, ["rows d.t", "content d.t", "next id d.t"]);
}

#[test]
fn a_sequence_is_no_table_and_what_is_out_of_scope_is_not_expected() {
    let sequence = ObjectFacts { kind: ObjectKind::Sequence, ..view("d.s", "1") };
    let base = inventory(&[], std::slice::from_ref(&sequence));
    let used = changes([("d.s", rows(3, 0))]);
    let later = inventory(&[], &[ObjectFacts { definition: Digest::of(b"2"), ..sequence }]);
    assert_eq!(held(&base, &[&used], &later).0, [""; 0]);
    let unknown = changes([("d.t", rows(3, 0))]);
    let nothing = inventory(&[], &[]);
    assert_eq!(held(&nothing, &[&unknown], &nothing), (Vec::new(), Vec::new()));
    let (checks, notes) = held(&nothing, &[&unknown], &inventory(&[facts("d.t", 3)], &[]));
    assert_eq!((checks.len(), notes.len()), (0, 2), "{notes:?}");
    let made = changes([("e.t", from(Origin::Nothing)), ("d.t", from(Origin::Nothing))]);
    let found = inventory(&[facts("d.t", 0), facts("e.t", 0), facts("e.u", 0)], &[view("e.v", "1")]);
    let base = inventory(&[], &[ObjectFacts { kind: ObjectKind::Database, ..view("d", "x") }]);
    let found = Inventory { objects: [base.objects.clone(), found.objects].concat(), ..found };
    let (comparison, notes) = Expected::after(&base, [&made]).compare(&found);
    assert!(notes.contains(&"database e was not compared: the full backup does not have it".to_owned()), "{notes:?}");
    let names: Vec<_> = comparison.checks.iter().map(|check| (check.name.as_str(), check.ok)).collect();
    assert_eq!(names, [("rows d.t", true), ("database d", true)]);
}

/// A backup of everything, with tables a, b, c in d and f in e; rows of b hang on a, those of c on b.
fn hanging(objects: &[ObjectFacts]) -> Inventory {
    let tables = ["d.a", "d.b", "d.c", "e.f"].map(|name| facts(name, 1));
    let named = |name: &str| BTreeSet::from([name.to_owned()]);
    let children = [("d.a".to_owned(), named("d.b")), ("d.b".to_owned(), named("d.c"))].into();
    let reach = Some(Reach { children, elsewhere: named("e.merged") });
    Inventory { reach, ..inventory(&tables, objects) }
}

/// As the log has a statement on these.
fn stated(names: &[&str]) -> Changes {
    let why = || "INSERT in statement format".to_owned();
    let single = names.iter().filter(|name| !name.ends_with('*'));
    Changes {
        tables: single
            .map(|name| ((*name).to_owned(), TableChanges { uncounted: Some(why()), ..rows(0, 0) }))
            .collect(),
        wrote: names.iter().map(|name| ((*name).to_owned(), why())).collect(),
        ..Changes::default()
    }
}

/// Tables of which nothing is known after these increments.
fn unsure(base: &Inventory, increments: &[&Changes]) -> String {
    let expected = after(base, increments);
    let unsure = expected.tables().iter().filter(|(_, table)| table.count().is_err() && !table.may_be_missing);
    unsure.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_statement_makes_unsure_what_it_names_and_what_hangs_on_it_by_a_foreign_key() {
    let base = hanging(&[]);
    for (names, want) in [
        (&["d.c"][..], "d.c"),
        (&["d.b"], "d.b d.c"),
        (&["d.a"], "d.a d.b d.c"),
        (&["e.f"], "e.f"),
        (&["d.*"], "d.a d.b d.c"),
        (&["e.*", "d.c"], "d.c e.f"),
        // A short name, a temporary table.
        (&["x.*"], ""),
        (&["d.tmp"], ""),
        // What may be a view, another table's rows, anything.
        (&["*"], "d.a d.b d.c e.f"),
        (&["x.t"], "d.a d.b d.c e.f"),
    ] {
        assert_eq!(unsure(&base, &[&stated(names)]), want, "{names:?}");
        // What rows of it are logged later changes nothing.
        let later = changes([("d.c", rows(1, 0)), ("e.f", rows(1, 0))]);
        assert_eq!(unsure(&base, &[&stated(names), &later]), want, "{names:?}");
    }
    let expected = after(&base, &[&stated(&["d.b"])]);
    assert_eq!(expected.tables()["d.b"].rows, Rows::Uncounted("INSERT in statement format".to_owned()));
    let why = "statements changed d.b, to which a foreign key of it may refer";
    assert_eq!(expected.tables()["d.c"].rows, Rows::Uncounted(why.to_owned()));
    // Emptied behind it, that it hangs on the other is still so.
    let mut emptied = stated(&["d.b"]);
    emptied.tables = [("d.b".to_owned(), from(Origin::Nothing)), ("d.c".to_owned(), from(Origin::Nothing))].into();
    assert_eq!(unsure(&base, &[&emptied]), "d.c");
    let elsewhere = Inventory { tables: vec![facts("e.merged", 1), facts("e.f", 1)], ..base };
    assert_eq!(unsure(&elsewhere, &[&stated(&["e.merged"])]), "e.f e.merged");
}

#[test]
fn a_statement_makes_every_table_unsure_where_programs_may_run_or_nothing_is_known() {
    const ALL: &str = "d.a d.b d.c e.f";
    let object = |kind, name: &str| ObjectFacts { kind, ..view(name, "x") };
    for (kind, name, on, want) in [
        (ObjectKind::Function, "e.fn", "d.c", ALL),
        (ObjectKind::Package, "e.p", "d.c", ALL),
        (ObjectKind::Procedure, "d.p", "d.c", "d.c"),
        (ObjectKind::Trigger, "d.tr", "d.c", ALL),
        (ObjectKind::Trigger, "e.tr", "d.c", "d.c"),
        (ObjectKind::View, "d.v", "d.v", ALL),
        (ObjectKind::View, "d.v", "d.*", ALL),
        (ObjectKind::View, "d.v", "d.c", "d.c"),
        (ObjectKind::View, "e.v", "d.*", "d.a d.b d.c"),
    ] {
        let made = format!("{kind} {name}");
        assert_eq!(unsure(&hanging(&[object(kind, name)]), &[&stated(&[on])]), want, "{made} on {on}");
        // Made on the way, in the same increment or before it.
        let making = Changes { definitions: [made.clone()].into(), ..Changes::default() };
        let both = Changes { definitions: [made.clone()].into(), ..stated(&[on]) };
        assert_eq!(unsure(&hanging(&[]), &[&both]), want, "{made} on {on}");
        assert_eq!(unsure(&hanging(&[]), &[&making, &stated(&[on])]), want, "{made} on {on}");
        assert_eq!(unsure(&hanging(&[]), &[&making]), "", "{made}");
    }
    for pattern in ["*", "table *", "trigger d.*", "trigger *", "view d.*"] {
        let loose = Changes { definitions: [pattern.to_owned()].into(), ..stated(&["d.c"]) };
        let unsure = unsure(&hanging(&[]), &[&loose]);
        assert_eq!(unsure, ALL, "{pattern}");
    }
    let dropped = Changes { dropped: ["e".to_owned()].into(), ..stated(&["e.f", "d.c"]) };
    assert_eq!(unsure(&hanging(&[]), &[&dropped]), "d.a d.b d.c e.f");
    let unknown = Inventory { reach: None, ..hanging(&[]) };
    assert_eq!(unsure(&unknown, &[&stated(&["d.c"])]), ALL);
    assert_eq!(unsure(&unknown, &[&Changes::default(), &changes([("d.c", rows(1, 0))])]), "");
}

#[test]
fn a_table_that_was_made_or_altered_on_the_way_may_hang_on_any() {
    let redefined = |name| changes([(name, TableChanges { redefined: true, ..rows(0, 0) })]);
    let base = hanging(&[]);
    assert_eq!(unsure(&base, &[&redefined("e.f"), &stated(&["d.c"])]), "d.c e.f");
    assert_eq!(unsure(&base, &[&redefined("d.a"), &stated(&["e.f"])]), "d.a d.b d.c e.f");
    // And nobody knows whose rows it shows.
    assert_eq!(unsure(&base, &[&redefined("d.c"), &stated(&["d.c"])]), "d.a d.b d.c e.f");
    let gone = changes([("d.a", from(Origin::Gone))]);
    assert_eq!(unsure(&base, &[&gone, &stated(&["e.f"])]), "d.b d.c e.f", "what was there may have been another one");
}

#[test]
fn a_note_lists_the_first_few_names() {
    let names: Vec<String> = (0..12).map(|number| format!("d.t{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(list("table", &names[..1]), "table d.t0");
    assert_eq!(list("table", &names[..2]), "2 tables (d.t0, d.t1)");
    assert!(
        list("table", &names).starts_with("12 tables (d.t0, ") && list("table", &names).ends_with("d.t9, and 2 more)")
    );
}

/// What a server does: an independent model, one step at a time.
#[derive(Debug, Clone)]
enum Step {
    Create(usize),
    Drop(usize),
    Truncate(usize),
    Rename(usize, usize),
    Insert(usize, u64),
    Delete(usize, u64),
    /// The next increment begins.
    Cut,
}

fn step() -> impl Strategy<Value = Step> {
    let table = || 0_usize..4;
    prop_oneof![
        1 => table().prop_map(Step::Create),
        1 => table().prop_map(Step::Drop),
        1 => table().prop_map(Step::Truncate),
        1 => (table(), table()).prop_map(|(from, to)| Step::Rename(from, to)),
        4 => (table(), 1_u64..5).prop_map(|(table, rows)| Step::Insert(table, rows)),
        2 => (table(), 1_u64..5).prop_map(|(table, rows)| Step::Delete(table, rows)),
        2 => Just(Step::Cut),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_to_tables_they_are_expected_as_they_are(steps in proptest::collection::vec(step(), 0..40)) {
        let name = |table: usize| format!("d.t{table}");
        let base = inventory(&[facts("d.t0", 10), facts("d.t1", 20)], &[]);
        let mut server: BTreeMap<String, u64> = base.tables.iter().map(|table| (table.name.clone(), table.rows)).collect();
        let mut increments = vec![Changes::default()];
        for step in steps {
            let tables = &mut increments.last_mut().unwrap().tables;
            match step {
                Step::Create(table) if !server.contains_key(&name(table)) => {
                    server.insert(name(table), 0);
                    tables.insert(name(table), from(Origin::Nothing));
                }
                Step::Drop(table) if server.remove(&name(table)).is_some() => {
                    tables.insert(name(table), from(Origin::Gone));
                }
                Step::Truncate(table) if server.contains_key(&name(table)) => {
                    server.insert(name(table), 0);
                    tables.insert(name(table), from(Origin::Nothing));
                }
                Step::Rename(a, b) if server.contains_key(&name(a)) && !server.contains_key(&name(b)) => {
                    let rows = server.remove(&name(a)).unwrap();
                    server.insert(name(b), rows);
                    let mut moved = tables.insert(name(a), from(Origin::Gone)).unwrap_or_default();
                    if moved.origin == Origin::Before {
                        moved.origin = Origin::Renamed(name(a));
                    }
                    tables.insert(name(b), moved);
                }
                Step::Insert(table, rows) if server.contains_key(&name(table)) => {
                    *server.get_mut(&name(table)).unwrap() += rows;
                    tables.entry(name(table)).or_default().inserted += rows;
                }
                Step::Delete(table, rows) if server.get(&name(table)).is_some_and(|there| *there >= rows) => {
                    *server.get_mut(&name(table)).unwrap() -= rows;
                    tables.entry(name(table)).or_default().deleted += rows;
                }
                Step::Cut => increments.push(Changes::default()),
                _ => {}
            }
        }
        let all: Vec<&Changes> = increments.iter().collect();
        let expected = after(&base, &all);
        let counted: BTreeMap<String, u64> =
            expected.tables().iter().map(|(name, table)| (name.clone(), table.count().unwrap())).collect();
        prop_assert_eq!(counted, server);
    }
}

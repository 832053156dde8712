//! Which tables statements in statement format may have changed beside those that they name. Where that is not certain, any.

use std::collections::{BTreeMap, BTreeSet};

use super::{Expected, database_of};
use crate::domain::manifest::ObjectKind;
use crate::domain::promise::Changes;

/// Tables whose rows are not known any more, and why.
pub(super) enum Reached {
    Tables(BTreeMap<String, String>),
    Any(String),
}

impl Reached {
    pub fn why(&self, table: &str) -> Option<&str> {
        match self {
            Self::Tables(tables) => tables.get(table).map(String::as_str),
            Self::Any(why) => Some(why),
        }
    }
}

impl Expected {
    /// What the statements of `changes` may have changed. Of single tables that they name, the changes themselves know whether they
    /// were emptied or dropped afterwards.
    pub(super) fn reached(&self, changes: &Changes) -> Reached {
        let Some(why) = changes.wrote.values().next() else { return Reached::Tables(BTreeMap::new()) };
        self.followed(changes).map_or_else(|because| Reached::Any(format!("{why}, and {because}")), Reached::Tables)
    }

    /// An error says why it may be any table.
    fn followed(&self, changes: &Changes) -> Result<BTreeMap<String, String>, String> {
        let Some(reach) = &self.reach else {
            return Err("the full backup does not say what hangs together, or does not have everything".to_owned());
        };
        if self.loose.contains("*") || self.loose.contains("table *") {
            return Err("tables were renamed, or a statement is not understood".to_owned());
        }
        if self.has_any(ObjectKind::Function) || self.has_any(ObjectKind::Package) {
            return Err("there are stored functions, which may change any table".to_owned());
        }
        let mut reached = BTreeMap::new();
        let mut open: Vec<String> = Vec::new();
        for (name, why) in &changes.wrote {
            for table in self.meant(name)? {
                if reach.elsewhere.contains(&table) || self.redefined.contains(&table) {
                    return Err(format!("the rows of {table} may be those of other tables"));
                }
                if name.ends_with(".*") {
                    reached.entry(table.clone()).or_insert_with(|| why.clone());
                }
                open.push(table);
            }
        }
        let mut seen: BTreeSet<String> = open.iter().cloned().collect();
        while let Some(table) = open.pop() {
            let database = database_of(&table);
            if self.has_in(ObjectKind::Trigger, database) {
                return Err(format!("database {database} has triggers, which may change any table"));
            }
            for child in reach.children.get(&table).into_iter().flatten().chain(&self.redefined) {
                let why = || format!("statements changed {table}, to which a foreign key of it may refer");
                if *child != table {
                    reached.entry(child.clone()).or_insert_with(why);
                }
                if seen.insert(child.clone()) {
                    open.push(child.clone());
                }
            }
        }
        Ok(reached)
    }

    /// The tables of the full backup that a statement on `name` may mean: `d.t`, `d.*`. Temporary ones are none of them.
    fn meant(&self, name: &str) -> Result<Vec<String>, String> {
        let database = database_of(name);
        if !self.databases.contains(database) {
            // In front of a dot there may also be a short name that the statement itself gives to a table.
            let is_known = !name.ends_with(".*") || self.is_loose(ObjectKind::Database, database);
            let unknown = || format!("the full backup has no database {database}");
            return if is_known { Err(unknown()) } else { Ok(Vec::new()) };
        }
        let all = name.ends_with(".*");
        let has_view = if all { self.has_in(ObjectKind::View, database) } else { self.is_view(name) };
        if has_view {
            return Err(format!("{name} may be a view of other tables"));
        }
        let is_meant = |table: &&String| if all { database_of(table) == database } else { *table == name };
        Ok(self.tables.keys().chain(&self.redefined).filter(is_meant).cloned().collect())
    }

    fn is_view(&self, name: &str) -> bool {
        self.objects.contains_key(&(ObjectKind::View, name.to_owned())) || self.is_loose(ObjectKind::View, name)
    }

    /// Whether there is, or may have come, anything of this kind.
    fn has_any(&self, kind: ObjectKind) -> bool {
        let named = format!("{kind} ");
        self.objects.keys().any(|(is, _)| *is == kind) || self.loose.iter().any(|name| name.starts_with(&named))
    }

    fn has_in(&self, kind: ObjectKind, database: &str) -> bool {
        let named = format!("{kind} {database}.").to_lowercase();
        self.objects.keys().any(|(is, name)| *is == kind && database_of(name) == database)
            || self.loose.iter().any(|name| name.starts_with(&named) || *name == format!("{kind} *"))
    }
}

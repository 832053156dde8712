//! Which plugins a sandbox's server can load: those that it starts with. What is restored may say `INSTALL PLUGIN`, and a
//! plugin is native code.

use crate::sandbox::Text;

/// The option that loads one.
pub const LOADED: &str = "plugin-load-add";

/// Files that `options` load, of `library`, `library.so` and `name=library.so`.
pub fn libraries(options: &[(String, Text)]) -> Vec<String> {
    let loaded = options.iter().filter(|(name, _)| name == LOADED);
    // Where an instance's places are is nothing that a library's name depends on.
    let lists: Vec<String> = loaded.map(|(_, list)| list.written(|_| String::new())).collect();
    let files = lists.iter().flat_map(|list| list.split(';'));
    let files = files.map(|one| one.rsplit_once('=').map_or(one, |(_, library)| library).trim());
    let files = files.filter(|file| !file.is_empty() && !file.contains('/'));
    let mut files: Vec<String> = files.map(|file| format!("{}.so", file.strip_suffix(".so").unwrap_or(file))).collect();
    files.sort();
    files.dedup();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_named_as_files_whatever_form_they_were_given_in() {
        let options =
            [("x", "y"), (LOADED, "ha_archive"), (LOADED, "a=auth_ed25519.so; b.so;"), (LOADED, "../c"), (LOADED, "b")];
        let options = options.map(|(name, value)| (name.to_owned(), value.into()));
        assert_eq!(libraries(&options), ["auth_ed25519.so", "b.so", "ha_archive.so"]);
        assert_eq!(libraries(&options[..1]), Vec::<String>::new());
    }
}

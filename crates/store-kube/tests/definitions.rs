//! The files in `packaging/kubernetes` say what the types say.

mod support;

use std::fmt::Write;

use tortie_store_kube::custom::Group;
use tortie_store_kube::definitions;

fn text(group: Group) -> String {
    let mut text = format!(
        "# The definitions of Calico's resources in the group {}, made of tortie's own types. To make them again:\n\
         # UPDATE=1 cargo test -p tortie-store-kube --test definitions\n",
        group.name()
    );
    for definition in definitions::all(group) {
        write!(text, "---\n{}", tortie_manifest::write::yaml(&definition)).expect("memory takes all");
    }
    text
}

#[test]
fn the_files_are_those_that_follow_from_the_types() {
    for group in [Group::Packed, Group::Native] {
        let path = support::workspace().join(format!("packaging/kubernetes/{}.yaml", group.name()));
        let text = text(group);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &text).expect("the file can be written");
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == text, "{} is old: run this test with UPDATE=1", path.display());
    }
}

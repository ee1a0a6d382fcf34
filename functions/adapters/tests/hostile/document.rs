//! `docs/hostile_receivers.md` lists the catalogue.

use std::fmt::Write as _;

use carteiro_hostile::catalogue;

/// The table, as the document shows it.
fn table() -> String {
    let mut table = String::new();
    for group in catalogue() {
        write!(
            table,
            "\n## {}\n\n| the receiver | is recorded as | its test |\n|---|---|---|\n",
            group.heading
        )
        .unwrap();
        for hostile in group.receivers {
            writeln!(table, "| {} | {} | `{}` |", hostile.does, hostile.recorded, hostile.name).unwrap();
        }
    }
    table
}

#[test]
fn the_document_lists_every_receiver_with_what_is_recorded() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/hostile_receivers.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (_, listed) = document.split_once("\n## ").unwrap();
    let expected = table();
    assert_eq!(format!("\n## {listed}"), expected, "the table should be:\n{expected}");
}

//! What `--json` prints is documented, and the document is fresh. With
//! `UPDATE_SCHEMAS=1` it is written instead.

use std::path::Path;

#[test]
fn the_schema_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/command.json");
    let fresh = serde_json::to_string_pretty(&nixops4_resources::report::schema()).unwrap();
    let fresh = format!("{fresh}\n");
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == fresh,
        "{} is not what the code says now; run `make generate` and commit it",
        path.display()
    );
}

//! Files that can't be used.

use serde_json::json;

use super::{FILE, Site, add};

#[test]
fn files_that_can_not_be_used() {
    let refused = |site: &Site, words: &[&str]| {
        for request in [
            site.create_request(),
            site.read_request(),
            site.event(&add("/resources/a", json!({}))),
        ] {
            let error = site.send(&request).expect_err("it can't be used");
            assert!(error.starts_with("/path: "), "{error}");
            for word in words {
                assert!(error.contains(word), "{word:?} is not in {error}");
            }
            assert!(error.contains("\nhint: "), "{error}");
        }
    };
    // A folder that isn't there; a file that is none; a place where nobody can write.
    refused(
        &Site::at("missing/state.sqlite"),
        &["missing/state.sqlite", "folder"],
    );
    refused(&Site::at("/proc/state.sqlite"), &["/proc/state.sqlite"]);
    refused(
        &Site::at("/dev/null/state.sqlite"),
        &["/dev/null/state.sqlite"],
    );
    refused(&Site::at("."), &["unable to"]);

    // Something else, and what is left of a state.
    let site = Site::new();
    site.sandbox.write(
        FILE,
        "this is a letter to my aunt, and no database at all\n".repeat(100),
    );
    refused(&site, &["not a database", "backup"]);
    let site = Site::new();
    site.create();
    let file = site.sandbox.work().join(FILE);
    // The rest may be in the log beside it still.
    assert_eq!(site.sql("PRAGMA journal_mode = DELETE"), ["delete"]);
    let whole = std::fs::read(&file).expect("the file");
    site.sandbox.write(FILE, &whole[..whole.len() / 2]);
    for rest in ["-wal", "-shm"] {
        let _absent = std::fs::remove_file(file.with_file_name(format!("{FILE}{rest}")));
    }
    refused(&site, &["malformed", "backup"]);

    // Less than a page of it.
    site.sandbox.write(FILE, &whole[..100]);
    refused(&site, &["malformed", "backup"]);

    // Another program's database is not written to.
    let site = Site::new();
    site.sandbox.write(FILE, "");
    site.sql("CREATE TABLE letters (text)");
    refused(&site, &["another program"]);
    let tables = site.sql("SELECT name FROM sqlite_schema WHERE type = 'table'");
    assert_eq!(tables, ["letters"]);
}

#[test]
fn a_file_of_a_newer_version() {
    let site = Site::new();
    site.create();
    site.sql("PRAGMA user_version = 2");
    for request in [
        site.create_request(),
        site.read_request(),
        site.event(&json!([])),
    ] {
        let error = site.send(&request).expect_err("it is too new");
        assert!(error.starts_with("/path: "), "{error}");
        assert!(error.contains("newer version"), "{error}");
        assert!(error.contains("format 2, this one knows 1"), "{error}");
        assert!(error.contains("\nhint: upgrade"), "{error}");
    }
}

#[test]
fn a_log_that_was_damaged() {
    for damage in [
        "DELETE FROM event WHERE position = 1",
        "UPDATE event SET patch = '[{\"op\":\"remove\",\"path\":\"/none\"}]' WHERE position = 1",
        "UPDATE event SET patch = 'nonsense' WHERE position = 1",
    ] {
        let site = Site::new();
        site.create();
        for name in ["a", "b"] {
            let event = site.event(&add(&format!("/resources/{name}"), json!({})));
            site.send(&event).expect("it is written");
        }
        site.sql(damage);
        for request in [
            site.read_request(),
            site.event(&add("/resources/c", json!({}))),
        ] {
            let error = site.send(&request).expect_err("it is damaged");
            assert!(error.contains("backup"), "{damage}: {error}");
            assert!(error.contains('1'), "{damage}: {error}");
        }
        assert_eq!(
            site.sql("SELECT count(*) || '' FROM event WHERE position > 2"),
            ["0"]
        );
    }
}

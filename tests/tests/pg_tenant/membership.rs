//! `postgresql_membership`

use serde_json::json;

use crate::support::{Place, everywhere, ident, literal};

const KIND: &str = "postgresql_membership";

fn role(at: &Place, name: &str) -> String {
    let name = at.name(name);
    at.make("postgresql_role", json!({"name": name}));
    name
}

/// `ADMIN INHERIT SET` of each grant, however many there are.
fn grants(at: &Place, role: &str, group: &str) -> String {
    let sql = format!(
        "SELECT admin_option::text, to_jsonb(m) ->> 'inherit_option', to_jsonb(m) ->> 'set_option'
         FROM pg_auth_members m WHERE member = {}::regrole AND roleid = {}::regrole ORDER BY grantor",
        literal(&ident(role)),
        literal(&ident(group))
    );
    at.sql("postgres", &sql)
}

#[test]
fn it_is_granted_changed_and_revoked() {
    everywhere(|at| {
        let (app, readers, writers) = (role(at, "app"), role(at, "readers"), role(at, "writers"));
        let has_options = at.server.version() >= 16;
        let is = |admin: &str| format!("{admin}|{}", if has_options { "true|true" } else { "|" });
        let mut one = at.thing(KIND, json!({"role": app, "group": readers}));
        one.plans("create", &["/connection", "/group", "/owner", "/role"]);
        let outputs = one.create();
        assert_eq!(outputs["role"], json!(app));
        assert_eq!(outputs["group"], json!(readers));
        assert_eq!(grants(at, &app, &readers), is("false"));

        one.set("/admin", true).plans("update", &["/admin"]);
        one.create();
        assert_eq!(grants(at, &app, &readers), is("true"));
        one.set("/admin", false).create();
        at.sql(
            "postgres",
            &format!("GRANT {} TO {}", ident(&writers), ident(&app)),
        );
        at.sql(
            "postgres",
            &format!(
                "REVOKE {} FROM {} GRANTED BY {}",
                ident(&readers),
                ident(&app),
                at.user
            ),
        );
        one.plans(
            "create",
            &["/admin", "/connection", "/group", "/owner", "/role"],
        );
        one.create();
        assert_ne!(
            grants(at, &app, &writers),
            "",
            "other memberships are left alone"
        );

        // Another group: it moves; the same group under another name: it stays.
        let others = role(at, "others");
        one.set("/group", others.clone())
            .plans("update", &["/group"]);
        one.create();
        assert_eq!(grants(at, &app, &readers), "");
        assert_eq!(grants(at, &app, &others), is("false"));
        let renamed = at.name("renamed");
        at.sql(
            "postgres",
            &format!(
                "ALTER ROLE {} RENAME TO {}",
                ident(&others),
                ident(&renamed)
            ),
        );
        one.set("/group", renamed.clone()).plans("none", &[]);

        let error = one.try_destroy("retain").unwrap_err();
        assert!(
            error.contains("/deletionPolicy") && error.contains("can't be retained"),
            "{error}"
        );
        one.destroy("delete");
        assert_eq!(grants(at, &app, &renamed), "");
        at.sql("postgres", &format!("DROP ROLE {}", ident(&renamed)));
        one.destroy("delete");
    });
}

#[test]
fn the_options_of_16_are_set_or_refused() {
    everywhere(|at| {
        let (app, readers) = (role(at, "app"), role(at, "readers"));
        let mut one = at.thing(
            KIND,
            json!({"role": app, "group": readers, "inheritPrivileges": false}),
        );
        if at.server.version() < 16 {
            one.refused(&[
                "/inheritPrivileges",
                "from PostgreSQL 16 on",
                "the server is 15",
            ]);
            one.set("/inheritPrivileges", json!(null))
                .set("/setRole", true);
            return one.refused(&["/setRole", "from PostgreSQL 16 on"]);
        }
        one.create();
        assert_eq!(grants(at, &app, &readers), "false|false|true");
        one.set("/inheritPrivileges", true)
            .set("/setRole", false)
            .plans("update", &["/inheritPrivileges", "/setRole"]);
        one.create();
        assert_eq!(grants(at, &app, &readers), "false|true|false");
    });
}

#[test]
fn whoever_granted_it_it_goes() {
    everywhere(|at| {
        if at.server.version() < 16 || !at.is_superuser {
            // One grant alone, or one's own grants alone.
            return;
        }
        let (app, readers, lender) = (role(at, "app"), role(at, "readers"), role(at, "lender"));
        at.sql(
            "postgres",
            &format!(
                "GRANT {readers} TO {lender} WITH ADMIN TRUE;
             GRANT {readers} TO {app} WITH ADMIN TRUE, SET FALSE GRANTED BY {lender}",
                readers = ident(&readers),
                lender = ident(&lender),
                app = ident(&app)
            ),
        );
        let mut one = at.thing(
            KIND,
            json!({"role": app, "group": readers, "setRole": true}),
        );
        one.plans("update", &["/admin", "/setRole"]);
        one.create();
        assert_eq!(
            grants(at, &app, &readers),
            "false|true|true\nfalse|true|false"
        );
        one.destroy("delete");
        assert_eq!(grants(at, &app, &readers), "");
    });
}

#[test]
fn errors_name_the_input() {
    everywhere(|at| {
        let (a, b, c) = (role(at, "a"), role(at, "b"), role(at, "c"));
        at.make(KIND, json!({"role": a, "group": b}));
        at.make(KIND, json!({"role": b, "group": c}));
        let mut circle = at.thing(KIND, json!({"role": c, "group": a}));
        circle.refused(&["/group", "is a member of role", "circle"]);
        circle
            .set("/group", c.clone())
            .refused(&["/group", "can't be a member of itself"]);
        circle
            .set("/group", at.name("missing"))
            .refused(&["/group", "does not exist"]);
        circle.set("/group", a).set("/role", at.name("missing"));
        circle.refused(&["/role", "does not exist"]);
        if !at.is_superuser {
            circle.set("/role", c).set("/group", "postgres");
            circle.refused(&["/connection/user", "log in as a superuser"]);
        }
    });
}

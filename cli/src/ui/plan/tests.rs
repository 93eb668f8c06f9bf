use nixops4_protocol::message::{Change, Effect, PlannedValue};
use serde_json::{Value, json};

use super::plan;
use crate::member::{MemberPath, OutputRef};
use crate::report::{
    Abandoned, Action, PlanCounts, PlanReport, PlannedResource, UnknownMembers, UnknownPart,
};
use crate::ui::text::Paint;

fn path(name: &str) -> MemberPath {
    MemberPath(name.split('.').map(str::to_owned).collect())
}

fn known(value: Value) -> PlannedValue {
    PlannedValue::Known(value)
}

fn change(path: &str, before: PlannedValue, after: PlannedValue) -> Change {
    Change {
        path: path.to_owned(),
        before,
        after,
        effect: Effect::InPlace,
        note: None,
    }
}

fn resource(name: &str, kind: &str, action: Action, changes: Vec<Change>) -> PlannedResource {
    PlannedResource {
        path: path(name),
        r#type: kind.to_owned(),
        action,
        changes,
        at_default: Vec::new(),
        waits_for: Vec::new(),
        note: None,
        error: None,
    }
}

fn example() -> PlanReport {
    let wanted = OutputRef {
        path: path("password"),
        output: "reference".to_owned(),
    };
    PlanReport {
        format: 1,
        file: "nixops4.nix".to_owned(),
        resources: vec![
            PlannedResource {
                at_default: vec!["/login".to_owned()],
                waits_for: vec![wanted.clone()],
                ..resource(
                    "app.role",
                    "postgresql_role",
                    Action::Create,
                    vec![
                        change("/name", known(Value::Null), known(json!("app"))),
                        change("/password", known(Value::Null), PlannedValue::Unknown),
                        change("/comment", known(Value::Null), known(Value::Null)),
                        change("/login", known(Value::Null), known(json!(true))),
                    ],
                )
            },
            resource(
                "db",
                "postgresql_database",
                Action::Update,
                vec![
                    change("/connectionLimit", known(json!(10)), known(json!(20))),
                    Change {
                        effect: Effect::Disruptive,
                        note: Some("needs a restart".to_owned()),
                        ..change("/server/port", known(json!(5432)), known(json!(5433)))
                    },
                    change(
                        "/password",
                        PlannedValue::Sensitive,
                        PlannedValue::Sensitive,
                    ),
                    change("/owner", known(json!("me")), known(Value::Null)),
                ],
            ),
            resource("kept", "postgresql_role", Action::None, Vec::new()),
            PlannedResource {
                error: Some("/locale: it cannot be changed\nmake a new one".to_owned()),
                ..resource("old", "postgresql_database", Action::Refuse, Vec::new())
            },
            resource(
                "volume",
                "proxmox_disk",
                Action::Replace,
                vec![Change {
                    effect: Effect::Replace,
                    ..change("/format", known(json!("raw")), known(json!("qcow2")))
                }],
            ),
        ],
        unknown_members: vec![UnknownMembers {
            path: path("tenants"),
            part: UnknownPart::Members,
            waits_for: vec![wanted],
        }],
        abandoned: vec![Abandoned {
            path: path("gone"),
            r#type: "postgresql_role".to_owned(),
            state: path("state"),
        }],
        notes: vec!["two lines\nof a note".to_owned()],
        counts: PlanCounts {
            create: 1,
            update: 1,
            replace: 1,
            refuse: 1,
            unchanged: 1,
            ..PlanCounts::default()
        },
    }
}

const PLAIN: Paint = Paint { colour: false };

#[test]
fn people_see_what_changes_and_nothing_else() {
    assert_eq!(
        plan(&example(), false, 80, PLAIN),
        r#"  + app.role  postgresql_role
      name      "app"
      password  (known after apply)
      and 1 default
      after password.reference
  ~ db        postgresql_database
      connectionLimit  10 -> 20
      server.port      5432 -> 5433  (interrupts whoever uses it)
          needs a restart
      password         (sensitive) -> (sensitive)
      owner            "me" -> (none)
  ! old       postgresql_database
      /locale: it cannot be changed
        make a new one
-/+ volume    proxmox_disk
      format  "raw" -> "qcow2"  (only by making it anew, which loses what it holds)
  ? tenants.*  (members known after apply)
      after password.reference

No longer in the expression; still running, and left alone:
    gone  postgresql_role
`nixops4-resources gc` removes it.
note: two lines
        of a note

Plan: 1 to create, 1 to update, 1 to replace, 1 refused, 1 unchanged, and more that is known after apply.
"#
    );
}

#[test]
fn what_stays_is_listed_if_asked_for() {
    let text = plan(&example(), true, 80, PLAIN);
    assert!(text.contains("  = kept      postgresql_role\n"), "{text}");
    assert!(text.contains("      login     true\n"), "{text}");
    assert!(!text.contains("default"), "{text}");
}

#[test]
fn nothing_to_do_is_one_line() {
    let report = PlanReport {
        resources: vec![resource("a", "t", Action::None, Vec::new())],
        unknown_members: Vec::new(),
        abandoned: Vec::new(),
        notes: Vec::new(),
        counts: PlanCounts {
            unchanged: 1,
            ..PlanCounts::default()
        },
        ..example()
    };
    assert_eq!(
        plan(&report, false, 80, PLAIN),
        "Nothing to do: 1 resource is as wanted.\n"
    );
}

#[test]
fn colours_change_nothing_but_colours() {
    let coloured = plan(&example(), true, 80, Paint { colour: true });
    assert!(coloured.contains("\u{1b}["));
    assert_eq!(
        anstream::adapter::strip_str(&coloured).to_string(),
        plan(&example(), true, 80, PLAIN)
    );
}

#[test]
fn a_narrow_terminal_gets_short_values() {
    let report = PlanReport {
        resources: vec![resource(
            "a.member.with.a.long.name",
            "t",
            Action::Create,
            vec![change(
                "/text",
                known(Value::Null),
                known(json!("x".repeat(500))),
            )],
        )],
        ..example()
    };
    let text = plan(&report, false, 24, PLAIN);
    assert!(text.contains("      text  \"xxxxxxxx…\n"), "{text}");
}

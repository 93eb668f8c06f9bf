//! `validate`, `graph` and `outputs`.

use serde_json::{Value, json};

use crate::support::{Deployment, as_documented, ran};

fn validated(deployment: &Deployment, code: i32) -> Value {
    let report = deployment
        .run(&["validate", "--json"])
        .expect(code)
        .document();
    as_documented(&["validate"], &report);
    report
}

/// `PATH FIELD MESSAGE` of each problem.
fn problems(deployment: &Deployment) -> Vec<String> {
    let report = validated(deployment, 1);
    let problems = report["problems"].as_array().unwrap().iter();
    let told = problems.map(|problem| {
        format!(
            "{} {} {}",
            problem["path"],
            problem["field"].as_str().unwrap_or("-"),
            problem["message"].as_str().unwrap()
        )
    });
    told.collect()
}

#[test]
fn a_valid_deployment_is_checked_and_nobody_is_asked() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { failOn = [ "plan" "read" "create" ]; secret = { file = "/no/such"; }; };
          b = thing "b" { content = o.a.serial; size = o.a.content; };
          each.members = builtins.listToAttrs (map (n: { name = n; value = thing n { }; }) [ o.a.serial ]); }"#,
    );
    let requests = deployment.path("requests");
    let mut command = deployment.command(&["validate", "--verbose"]);
    ran(command.env("SCRATCH_REQUESTS", &requests))
        .expect(0)
        .says("? b  content: not checked, because it is made from a.serial")
        .says("? each.*  not checked")
        .says("Valid: 3 members; 2 inputs not checked before apply tells them.");
    // No request at all, no state, and nothing remembered.
    assert!(!requests.exists());
    assert!(!deployment.path("state").exists() && !deployment.path("home").exists());
    let report = validated(&deployment, 0);
    assert_eq!(report["unchecked"][1]["field"], "/size");
    assert_eq!(report["unchecked"][1]["waitsFor"][0]["output"], "content");
}

#[test]
fn every_problem_is_told_with_its_member_and_field() {
    let deployment = Deployment::new(
        r#"{ inherit state;
          a = thing "a" { size = "hunter2"; nmae = 1; };
          b.resource = (thing "b" { }).resource // { inputs = { }; };
          c.resource = (thing "c" { }).resource // { state = [ "nobody" ]; };
          d.resource = (thing "d" { }).resource // { state = [ "a" ]; };
          e.resource = (thing "e" { }).resource // { type = "scratch_thnig"; };
          f.resource = state.resource // { state = [ "state" ]; };
          g = thing "g" { content = o.h.serial; };
          h = thing "h" { content = "${o.a.serial} ${o.g.serial}"; };
          i = thing "i" { content = o.i.serial; };
          same = thing "twice" { }; twin = thing "twice" { content = 1; };
        }"#,
    );
    let told = problems(&deployment);
    for expected in [
        r#"["a"] /nmae there is no such input; look for a typing mistake"#,
        r#"["a"] /size value is not of type "integer""#,
        r#"["b"] /directory is required"#,
        r#"["b"] /name is required"#,
        r#"["c"] - its state is 'nobody', and there is no such member"#,
        r#"["d"] - its state is 'a', which names a state itself: set the state of 'a' to null"#,
        r#"["d"] - its state is 'a', a scratch_thing, which keeps none"#,
        r#"["e"] - the provider scratch-provider has no type 'scratch_thnig'; it has scratch_state, scratch_thing"#,
        r#"["f"] - a scratch_state keeps state and has none itself: set its state to null"#,
        r#"["f"] - 'f' and 'state' are the same scratch_state: give one of them another name, or remove it"#,
        r#"["g"] - members wait for each other: 'g' -> 'h' -> 'g'"#,
        r#"["i"] - uses its own output, which is known only once it is applied"#,
        r#"["same"] - 'same' and 'twin' are the same scratch_thing: give one of them another name, or remove it"#,
    ] {
        assert!(
            told.iter().any(|it| it == expected),
            "{expected}\n{told:#?}"
        );
    }
    assert_eq!(told.len(), 13, "{told:#?}");
    deployment
        .run(&["validate"])
        .expect(1)
        .says("! a  size: value is not of type \"integer\"")
        .says("Not valid: 13 problems in 12 members")
        .never_says("hunter2");
}

#[test]
fn an_output_that_a_type_does_not_have_is_told() {
    let deployment = Deployment::new(
        r#"{ inherit state;
          a.resource = (thing "a" { }).resource // { outputsSkeleton = { serail = { }; }; };
          b = thing "b" { content = o.a.serail; }; }"#,
    );
    let expected = r#"["b"] - uses a.serail, which a scratch_thing does not have; it has path, serial, content"#;
    assert_eq!(problems(&deployment), [expected]);
}

#[test]
fn what_can_not_be_evaluated_is_told_as_by_the_other_commands() {
    let deployment =
        Deployment::new(r#"{ inherit state; a = thing "a" { content = { }.missing; }; }"#);
    for command in [&["validate"][..], &["graph"]] {
        deployment
            .run(command)
            .expect(1)
            .says("nixops4.nix:")
            .says("missing");
    }
    let told = deployment.run(&["validate", "--json"]).expect(1);
    assert_eq!(told.events()[0]["event"], "error");
    deployment
        .run(&["validate", "--file", "nothing.nix"])
        .expect(1);
    deployment.run(&["validate", "--nonsense"]).expect(64);
}

const WEB: &str = r#"{ inherit state; volume = thing "volume" { content = 1; };
  web.members = {
    config = thing "config" { };
    site = thing "site" { content = "${o.volume.serial} ${o.web.config.serial}"; size = o.volume.content; };
  }; }"#;

#[test]
fn a_graph_has_every_edge_and_asks_nobody() {
    let deployment = Deployment::new(WEB);
    let report = deployment.run(&["graph", "--json"]).expect(0).document();
    as_documented(&["graph"], &report);
    assert_eq!(
        report["members"][3]["dependsOn"],
        json!([
            { "path": ["volume"], "output": "content" },
            { "path": ["volume"], "output": "serial" },
            { "path": ["web", "config"], "output": "serial" },
        ])
    );
    assert!(!deployment.path("state").exists() && deployment.log().is_empty());
    let dot = deployment.run(&["graph"]).expect(0);
    let dot = dot
        .says("digraph deployment {")
        .says(r#"subgraph "cluster web" {"#)
        .says(r#""web.site" [label = "site\nscratch_thing"];"#)
        .says(r#""web.site" -> "volume" [label = "content, serial"];"#);
    assert!(dot.stderr.is_empty(), "{}", dot.stderr);
    deployment
        .run(&["graph", "--format", "mermaid"])
        .expect(0)
        .says("flowchart LR")
        .says(r#"subgraph c0["web"]"#)
        .says(r#"n3["site<br/>scratch_thing"]"#)
        .says(r#"n3 -->|"content, serial"| n1"#);
    let json = deployment.run(&["graph", "--format", "json"]).expect(0);
    assert_eq!(json.document(), report);

    // What is recorded is the same.
    deployment
        .run(&["graph", "--recorded"])
        .expect(1)
        .says("there is no state at");
    deployment.run(&["apply"]).expect(0);
    deployment.write("{ inherit state; }");
    let recorded = deployment.run(&["graph", "--recorded", "--json"]).expect(0);
    let recorded = recorded.document();
    as_documented(&["graph"], &recorded);
    assert_eq!(recorded["members"][2], report["members"][3]);
}

#[test]
fn names_that_mean_harm_stay_names() {
    let deployment = Deployment::new(
        r#"{ inherit state; "a\"]; \\ }\n<script>\u001b[2J" = thing "a" { };
          "end; click n0 \"javascript:x\"".members."`b`" = thing "b" { }; }"#,
    );
    let dot = deployment.run(&["graph"]).expect(0).stdout;
    let steers = |c: char| c.is_control() && c != '\n';
    assert!(!dot.contains(steers), "{dot:?}");
    // Each name in quotes ends where it should.
    for line in dot.lines() {
        let outside = outside_of_quotes(line);
        assert!(
            !outside.contains("script") && !outside.contains("click") && !outside.contains('`'),
            "{line}"
        );
        let is_plain = |c: char| c.is_alphanumeric() || " {}[]=;->,".contains(c);
        assert!(outside.chars().all(is_plain), "{line}");
    }
    let mermaid = deployment
        .run(&["graph", "--format", "mermaid"])
        .expect(0)
        .stdout;
    assert!(!mermaid.contains('\\'), "{mermaid}");
    for line in mermaid.lines().skip(1) {
        let outside = outside_of_quotes(line);
        let is_plain = |c: char| c.is_alphanumeric() || " []()->|".contains(c);
        assert!(outside.chars().all(is_plain), "{line}");
        assert!(!line.contains("<script") && !line.contains('`'), "{line}");
    }
}

/// What of a line stands in no quotes; a backslash keeps what follows it from ending them.
fn outside_of_quotes(line: &str) -> String {
    let (mut outside, mut is_inside, mut is_escaped) = (String::new(), false, false);
    for c in line.chars() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_inside => is_escaped = true,
            '"' => is_inside = !is_inside,
            c if !is_inside => outside.push(c),
            _ => {}
        }
    }
    assert!(!is_inside, "{line}");
    outside
}

#[test]
fn circles_are_told() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { content = o.b.serial; }; b = thing "b" { content = o.a.serial; };
          c = thing "c" { content = o.a.serial; }; }"#,
    );
    deployment
        .run(&["graph"])
        .expect(0)
        .says(r#""a" -> "b" [label = "serial", color = "red"];"#)
        .says(r#""c" -> "a" [label = "serial"];"#)
        .says("these wait for each other, and no apply gets past them: 'a' -> 'b' -> 'a'");
    let report = deployment.run(&["graph", "--json"]).expect(0).document();
    assert_eq!(report["circles"], json!([[["a"], ["b"]]]));
    deployment
        .run(&["graph", "--format", "mermaid"])
        .expect(0)
        .says("linkStyle 0,1 stroke:red");
}

#[test]
fn outputs_are_printed_whole_by_member_and_one_by_one() {
    let deployment = Deployment::new(WEB);
    deployment
        .run(&["outputs"])
        .expect(1)
        .says("there is no state at");
    deployment.run(&["apply"]).expect(0);
    deployment
        .run(&["outputs"])
        .expect(0)
        .says("volume.serial = \"serial-volume\"\n")
        .says("web.config.serial = \"serial-config\"\n");
    let web = deployment.run(&["outputs", "web"]).expect(0);
    web.says("web.site.serial").never_says("volume.serial =");
    let raw = deployment
        .run(&["outputs", "--raw", "web.site.serial"])
        .expect(0);
    assert_eq!(raw.stdout, "serial-site");
    let raw = deployment
        .run(&["outputs", "--raw", "volume.content"])
        .expect(0);
    assert_eq!(raw.stdout, "1");
    let report = deployment
        .run(&["outputs", "--json", "volume.serial"])
        .expect(0);
    let report = report.document();
    as_documented(&["outputs"], &report);
    assert_eq!(
        report["outputs"],
        json!([{ "name": "volume.serial", "path": ["volume"], "output": "serial", "part": [], "value": "serial-volume" }])
    );
    for (arguments, says) in [
        (&["web.stie"][..], "there are web.config, web.site"),
        (&["nobody"], "there are volume, web.config, web.site"),
        (
            &["volume.serail"],
            "'volume' has no output 'serail'; it has",
        ),
        (
            &["volume.serial.x"],
            "volume.serial has no 'x'; it has no parts",
        ),
        (&["--raw"], "--raw prints one output"),
        (&["--raw", "volume"], "--raw prints one output"),
    ] {
        let arguments = [&["outputs"], arguments].concat();
        deployment.run(&arguments).expect(1).says(says);
    }
    deployment
        .run(&["outputs", "--raw", "--json", "a"])
        .expect(64);
    deployment.run(&["outputs", "a..b"]).expect(64);
    // No expression is needed, where it is remembered or said where the state is.
    deployment.write("{ a = abort \"no\"; }");
    let place = json!({ "type": "scratch_state", "executable": crate::support::provider(),
        "inputs": { "file": deployment.path("state") } });
    let place = ["outputs", "volume.serial", "--state", &place.to_string()];
    deployment.run(&place).expect(0).says("serial-volume");
}

#[test]
fn a_raw_output_is_exact_in_a_pipe() {
    let hostile = "x\u{1b}[2Jy\n";
    let deployment = Deployment::new(&format!(
        r#"{{ inherit state; a = thing "a" {{ content = builtins.fromJSON {}; }}; }}"#,
        serde_json::to_string(&json!(hostile).to_string()).unwrap()
    ));
    deployment.run(&["apply"]).expect(0);
    let raw = deployment.run(&["outputs", "--raw", "a.content"]).expect(0);
    assert_eq!(raw.stdout, hostile);
    let mut command = deployment.command(&["outputs", "--raw", "a.content"]);
    let (code, seen) = crate::secret::on_terminal(&mut command, "");
    assert_eq!(code, Some(0), "{seen}");
    assert!(!seen.contains('\u{1b}'), "{seen:?}");
}

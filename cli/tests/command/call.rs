//! One request to one provider, and what providers say of themselves.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Deployment, Ran, provider};

fn call(deployment: &Deployment, arguments: &[&str]) -> Ran {
    let provider = provider();
    let mut all = vec!["call"];
    all.extend_from_slice(arguments);
    all.extend(["--provider", provider.to_str().unwrap()]);
    deployment.run(&all)
}

fn inputs(deployment: &Deployment, more: &Value) -> String {
    let mut inputs = json!({"directory": deployment.path("things"), "name": "a"});
    inputs
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    inputs.to_string()
}

fn json(ran: Ran) -> Value {
    serde_json::from_str(&ran.expect(0).stdout).unwrap()
}

#[test]
fn outputs_are_printed_as_json() {
    let deployment = Deployment::new("{ }");
    let wanted = inputs(&deployment, &json!({"content": 1}));
    let outputs = json(call(
        &deployment,
        &["create", "scratch_thing", "--inputs", &wanted],
    ));
    assert_eq!(outputs["serial"], "serial-a");

    let file = deployment.path("inputs.json");
    std::fs::write(&file, inputs(&deployment, &json!({"content": 2}))).unwrap();
    let recorded = json!({"inputs": {}, "outputs": outputs}).to_string();
    let file = file.to_str().unwrap();
    json(call(
        &deployment,
        &[
            "update",
            "scratch_thing",
            "--inputs",
            file,
            "--recorded",
            &recorded,
        ],
    ));
    assert_eq!(deployment.thing("a").unwrap()["content"], 2);

    let plan = json(call(
        &deployment,
        &["plan", "scratch_thing", "--inputs", &wanted],
    ));
    assert_eq!(plan["action"], "update");
    assert_eq!(plan["changes"][0]["path"], "/content");
}

#[test]
fn inputs_come_from_stdin_too() {
    let deployment = Deployment::new("{ }");
    let provider = provider();
    let mut command = deployment.command(&[
        "call",
        "create",
        "scratch_thing",
        "--inputs",
        "-",
        "--provider",
        provider.to_str().unwrap(),
    ]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(inputs(&deployment, &json!({})).as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
    assert!(deployment.thing("a").is_some());
}

#[test]
fn a_state_is_read_whole() {
    let deployment = Deployment::new(r#"{ inherit state; a = thing "a" { }; }"#);
    deployment.run(&["apply"]).expect(0);
    let wanted = json!({"file": deployment.path("state")}).to_string();
    let state = json(call(
        &deployment,
        &["state-read", "scratch_state", "--inputs", &wanted],
    ));
    assert_eq!(state["_type"], "nixopsState");
    let recorded = &state["resources"]["a"];
    assert_eq!(recorded["type"], "scratch_thing");
    assert_eq!(recorded["output_properties"]["serial"], "serial-a");
    assert_eq!(
        recorded["nixops4-resources"],
        json!({"executable": provider(), "args": [], "dependsOn": []})
    );
}

#[test]
fn what_goes_wrong_is_told() {
    let deployment = Deployment::new("{ }");
    let wanted = inputs(&deployment, &json!({"failOn": ["create"]}));
    call(
        &deployment,
        &["create", "scratch_thing", "--inputs", &wanted],
    )
    .expect(1)
    .says("told to fail on create");
    call(&deployment, &["create", "scratch_thing"])
        .expect(64)
        .says("call create needs --inputs");
    call(&deployment, &["create", "scratch_thing", "--inputs", "{"])
        .expect(64)
        .says("--inputs is not a JSON object (line 1");
    call(
        &deployment,
        &["create", "scratch_thing", "--inputs", "/no/such"],
    )
    .expect(1)
    .says("cannot read --inputs from /no/such");
    call(&deployment, &["list", "scratch_state", "--inputs", "{}"])
        .expect(1)
        .says("scratch_state does not answer nixops4-resources/listResourcesRequest");
    deployment
        .run(&["call", "create", "nobodys_thing", "--inputs", "{}"])
        .expect(1)
        .says("cannot start the provider nixops4-resources-nobodys");
}

#[test]
fn a_provider_is_described_for_people_and_machines() {
    let deployment = Deployment::new("{ }");
    let provider = provider();
    let provider = provider.to_str().unwrap();
    deployment
        .run(&["describe", provider])
        .expect(0)
        .says("Things for tests.")
        .says("scratch_thing  A file.");
    let description = json(deployment.run(&["describe", provider, "--json"]));
    assert_eq!(description["name"], "scratch");

    // A type is looked up by the name of its provider.
    let directory = deployment.path("bin");
    std::fs::create_dir(&directory).unwrap();
    std::os::unix::fs::symlink(provider, directory.join("nixops4-resources-scratch")).unwrap();
    let mut command = deployment.command(&["describe", "scratch_thing"]);
    command.env("PATH", &directory);
    crate::support::ran(&mut command)
        .expect(0)
        .says("directory  string, required")
        .says("Where it is.")
        .says("size  integer, default 1");
    let mut command = deployment.command(&["describe", "--json"]);
    command.env("PATH", &directory);
    let all = json(crate::support::ran(&mut command));
    assert!(
        all.as_array()
            .unwrap()
            .iter()
            .any(|described| described["description"]["name"] == "scratch")
    );
}

#[test]
fn an_answer_of_another_kind_is_none() {
    let deployment = Deployment::new(r#"{ inherit state; a = thing "a" { }; }"#);
    deployment.run(&["apply"]).expect(0);
    let answers = [
        (
            "create",
            json!({ "createResourceResponse": { "outputProperties": {} } }),
        ),
        (
            "update",
            json!({ "updateResourceResponse": { "outputProperties": {} } }),
        ),
        ("destroy", json!({ "destroyResourceResponse": {} })),
        (
            "state-read",
            json!({ "stateResourceReadResponse": { "state": {} } }),
        ),
        ("event", json!({ "stateResourceEventResponse": {} })),
        (
            "plan",
            json!({ "nixops4-resources/planResourceResponse": { "identity": null,
            "action": "none", "changes": [], "outputProperties": {}, "unknownOutputs": [] } }),
        ),
        (
            "read",
            json!({ "nixops4-resources/readResourceResponse": {
            "identity": null, "present": false } }),
        ),
        (
            "list",
            json!({ "nixops4-resources/listResourcesResponse": { "resources": [] } }),
        ),
        (
            "history",
            json!({ "nixops4-resources/stateResourceHistoryResponse": {
            "length": 0, "events": [] } }),
        ),
    ];
    let given = inputs(&deployment, &json!({}));
    let recorded = json!({ "inputs": serde_json::from_str::<Value>(&given).unwrap() });
    let provider = provider();
    for (request, _) in &answers {
        if matches!(*request, "event" | "history") {
            continue;
        }
        let (kind, given) = match *request {
            "state-read" => ("scratch_state", json!({ "file": deployment.path("state") })),
            _ => ("scratch_thing", serde_json::from_str(&given).unwrap()),
        };
        for (answered, answer) in &answers {
            let mut command = deployment.command(&["call", request, kind]);
            command
                .args(["--provider", provider.to_str().unwrap()])
                .args(["--inputs", &given.to_string()])
                .env("SCRATCH_ANSWER", answer.to_string());
            if matches!(*request, "update" | "destroy") {
                command.args(["--recorded", &recorded.to_string()]);
            }
            let ran = crate::support::ran(&mut command);
            if request == answered {
                ran.expect(0);
            } else {
                ran.expect(1).says("gave an answer of the wrong kind to ");
            }
        }
    }
    // So it is for whoever else asks.
    for command in ["plan", "apply", "drift", "destroy", "gc"] {
        let mut command = deployment.command(&[command]);
        command.env("SCRATCH_ANSWER", answers[2].1.to_string());
        crate::support::ran(&mut command)
            .expect(1)
            .says("gave an answer of the wrong kind to ");
    }
}

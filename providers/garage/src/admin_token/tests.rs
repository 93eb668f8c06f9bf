use super::*;

fn inputs(scope: &serde_json::Value) -> Result<Inputs, serde_json::Error> {
    serde_json::from_value(serde_json::json!({
        "connection": {"endpoint": "http://127.0.0.1:3903", "token": {"env": "TOKEN"}},
        "name": "metrics",
        "scope": scope,
    }))
}

#[test]
fn what_a_token_may_use() {
    let read = |scope| scope::names(&inputs(&scope).unwrap().scope);
    let some = read(serde_json::json!(["ListKeys", "GetKeyInfo", "ListKeys"]));
    assert_eq!(Vec::from_iter(some), ["GetKeyInfo", "ListKeys"]);
    let all = read(serde_json::json!(["*"]));
    assert_eq!(Vec::from_iter(all), ["*"]);
    assert!(inputs(&serde_json::json!(["GetKey"])).is_err());
}

#[test]
fn what_is_called_as_garage_calls_it() {
    // Serde and Garage spell each endpoint alike.
    let schema = schemars::schema_for!(Endpoint);
    let schema = schema.to_value().to_string();
    for name in [
        "Metrics",
        "ClusterLayoutSkipDeadNodes",
        "GetCurrentAdminTokenInfo",
    ] {
        assert!(
            schema.contains(&format!("{name:?}")),
            "{name} is not in {schema}"
        );
    }
}

#[test]
fn what_makes_no_sense() {
    for (scope, problem) in [
        (serde_json::json!([]), "can do nothing"),
        (serde_json::json!(["*", "ListKeys"]), "all the others"),
    ] {
        let error = AdminToken::validate(&inputs(&scope).unwrap()).unwrap_err();
        assert_eq!(error.pointer(), Some("/scope"));
        assert!(error.to_string().contains(problem), "{error}");
    }
}

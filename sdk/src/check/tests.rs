use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::Model;
use crate::{Context, Owner, Provider, Result, StateKind};

#[expect(dead_code, reason = "only its schema matters")]
#[derive(Deserialize, JsonSchema)]
struct Careless {
    owner: Owner,
    /// Documented.
    nested: Nested,
}

#[expect(dead_code, reason = "only its schema matters")]
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nested {
    snake_case: bool,
}

/// Nothing.
#[derive(Serialize, JsonSchema)]
struct Outputs {
    mute: bool,
}

struct Store;

impl StateKind for Store {
    const TYPE: &'static str = "other_store";
    type Inputs = Careless;
    type Outputs = Outputs;

    fn deployment(inputs: &Careless) -> &Owner {
        &inputs.owner
    }

    async fn create(_: &Context, _: &Careless) -> Result<Outputs> {
        Ok(Outputs { mute: true })
    }

    async fn find(_: &Context, _: &Careless) -> Result<Option<Outputs>> {
        Ok(None)
    }

    async fn read(_: &Context, _: &Careless) -> Result<std::rc::Rc<serde_json::Value>> {
        Ok(serde_json::Value::Null.into())
    }

    async fn history(
        _: &Context,
        _: &Careless,
        _: u64,
        _: u64,
    ) -> Result<(Vec<nixops4_protocol::message::HistoryEvent>, u64)> {
        Ok((Vec::new(), 0))
    }

    async fn append(
        _: &Context,
        _: &Careless,
        _: nixops4_protocol::message::StateResourceEvent,
    ) -> Result<()> {
        Ok(())
    }
}

#[test]
fn a_provider_that_is_well_made() {
    Provider::new("model", "Models.", "1")
        .kind::<Model>()
        .check()
        .unwrap();
}

#[test]
fn every_rule_is_checked() {
    let provider = Provider::new("shop", "Shops.", "1");
    let problems = provider
        .kind::<Model>()
        .kind::<Model>()
        .state_kind::<Store>()
        .check();
    let problems = problems.unwrap_err().to_string();
    let expected = "the provider \"shop\" is not well made: \
model_thing, TYPE: two kinds have it
model_thing, TYPE: it has to begin with \"shop\" and _
other_store, TYPE: it has to begin with \"shop\" and _
other_store, inputs: a doc comment is missing: it describes the kind
other_store, inputs: deny_unknown_fields is missing
other_store, inputs /nested/snake_case: it has to be camelCase
other_store, inputs /nested/snake_case: a doc comment is missing: its unit and default
other_store, outputs /mute: a doc comment is missing: its unit and default";
    assert_eq!(problems, expected);
}

//! Buckets with a key each on a Garage cluster of one node: by one provider process,
//! by `apply`, and asked for again; beside the command `garage` doing the same.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nixops4_resources_tests::garage::{self, Cluster, Config};
use nixops4_resources_tests::messages::{self, Object, object};
use nixops4_resources_tests::provider::Provider;
use serde_json::{Value, json};

use crate::Settings;
use crate::place::{Place, succeed};
use crate::report::{Section, thousands};
use crate::sample::{self, Sample};

pub(crate) fn section(place: &Place, settings: &Settings) -> String {
    if !garage::is_there() {
        return "\nBuckets and keys on Garage: skipped, because there is no garage \
                (scripts/setup.sh garage)\n"
            .to_owned();
    }
    let many = settings.members.div_ceil(2);
    let count = thousands(many);
    let mut section = Section::new(
        format!("{count} buckets with {count} keys on a Garage of one node"),
        &["all", "each pair", "beside garage"],
    );

    // A cluster for each: what is there already makes Garage slower.
    let by_hand = timed(&Cluster::start(&Config::default()), |cluster| {
        command_line(cluster, many);
    });
    let mut row = |name: &str, time: Duration| {
        let each = time / u32::try_from(many).expect("some hundreds");
        let times = time.as_secs_f64() / by_hand.as_secs_f64();
        section.row([
            name.to_owned(),
            sample::show(time),
            sample::show(each),
            format!("{times:.2} times"),
        ]);
    };
    row("garage: three commands a pair", by_hand);

    let cluster = Cluster::start(&Config::default());
    let mut recorded = Vec::new();
    let first = timed(&cluster, |cluster| recorded = make(place, cluster, many));
    row("one provider process: a key and a bucket", first);
    row(
        "the same, there already",
        timed(&cluster, |_| ask_again(place, &recorded)),
    );
    drop(cluster);

    let cluster = Cluster::start(&Config::default());
    let deployment = json!({
        "members": many,
        "connection": connection(&cluster),
        "state": place.file("garage.sqlite"),
    });
    place.sandbox.write("garage.json", deployment.to_string());
    let first = timed(&cluster, |_| assert_eq!(apply(place)["created"], many));
    row("apply: as many tenants", first);
    let again = timed(&cluster, |_| assert_eq!(apply(place)["unchanged"], many));
    row("apply: nothing to do", again);

    let one = one_request(&cluster);
    section.note(format!(
        "Garage checks the token of each request by Argon2: {} for one that does nothing; the \
         command has no such check",
        one.show()
    ));
    section.show()
}

fn timed(cluster: &Cluster, work: impl FnOnce(&Cluster)) -> Duration {
    let mut sample = Sample::default();
    sample.time(|| work(cluster));
    sample.median()
}

/// What somebody would type, without looking at what is there.
fn command_line(cluster: &Cluster, many: usize) {
    let node = cluster.node();
    for number in 0..many {
        let (bucket, key) = (format!("bench-{number}"), format!("bench-key-{number}"));
        node.run(&["bucket", "create", &bucket]);
        node.run(&["key", "create", &key]);
        node.run(&[
            "bucket", "allow", "--read", "--write", &bucket, "--key", &key,
        ]);
    }
}

fn connection(cluster: &Cluster) -> Value {
    json!({
        "endpoint": cluster.node().admin_url(),
        "token": { "file": cluster.admin_token_file() },
        "s3Endpoint": cluster.node().s3_url(),
    })
}

/// Gives what is recorded of each.
fn make(place: &Place, cluster: &Cluster, many: usize) -> Vec<Value> {
    let mut provider = Provider::spawn(place.command("nixops4-resources-garage"));
    let mut recorded = Vec::new();
    for number in 0..many {
        let inputs = |more: Value| {
            let mut inputs = object(json!({"owner": "bench", "connection": connection(cluster)}));
            inputs.extend(object(more));
            inputs
        };
        let key = inputs(json!({"name": format!("bench-key-{number}")}));
        let key = create(&mut provider, "garage_key", &key);
        let bucket = inputs(json!({
            "name": format!("bench-{number}"),
            "keys": [{
                "accessKeyId": key["outputProperties"]["accessKeyId"], "read": true, "write": true,
            }],
        }));
        let bucket = create(&mut provider, "garage_bucket", &bucket);
        recorded.extend([key, bucket]);
    }
    let _ended = provider.finish();
    recorded
}

fn create(provider: &mut Provider, kind: &str, inputs: &Object) -> Value {
    let request = messages::create(kind, inputs, true);
    let answer = ask(provider, &request);
    messages::resource(
        kind,
        inputs,
        Some(&object(answer["outputProperties"].clone())),
    )
}

fn ask(provider: &mut Provider, request: &Value) -> Value {
    let line = provider.request(request.to_string());
    messages::answer(request, &line).unwrap_or_else(|error| panic!("{error}"))
}

fn ask_again(place: &Place, recorded: &[Value]) {
    let mut provider = Provider::spawn(place.command("nixops4-resources-garage"));
    for resource in recorded {
        let inputs = object(resource["inputProperties"].clone());
        ask(&mut provider, &messages::update(resource, &inputs));
    }
    let _ended = provider.finish();
}

/// Gives the summary, which is the last line.
fn apply(place: &Place) -> Value {
    let expression = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/bench/garage.nix");
    let mut command: Command = place.command("nixops4-resources");
    command
        .args(["apply", "--json", "--file"])
        .arg(expression)
        .env("BENCH_DEPLOYMENT", place.file("garage.json"));
    let events = succeed(&mut command);
    let summary = events.lines().last().expect("an event");
    serde_json::from_str(summary).expect("an event in JSON")
}

/// The least that a request can take.
fn one_request(cluster: &Cluster) -> Sample {
    let admin = cluster.admin();
    let mut sample = Sample::default();
    for _ in 0..20 {
        let _node = sample.time(|| admin.get("GetNodeInfo", &[("node", "self")]));
    }
    sample
}

//! How the command grows: the same deployment with so many resources and with ten
//! times as many, of a kind that costs next to nothing, with every command of its
//! life; beside Nix alone, and beside one provider that is asked the same.

use std::fs;
use std::process::Command;
use std::time::Instant;

use nixops4_resources_tests::messages::{self, Object, object};
use nixops4_resources_tests::provider::Provider;
use serde_json::{Value, json};

use crate::Settings;
use crate::place::Place;
use crate::report::{Section, thousands};
use crate::sample;
use crate::start::{Figure, watch};

/// How many times as many the larger deployment has.
const TIMES: usize = 10;
/// How many times as long it may take, before it counts as growing faster.
const GROWTH_GOAL: f64 = 15.0;

struct Deployment<'a> {
    place: &'a Place,
    members: usize,
}

impl Deployment<'_> {
    fn file(&self, name: &str) -> std::path::PathBuf {
        self.place.file(&format!("scale-{}-{name}", self.members))
    }

    fn prepare(&self) {
        fs::create_dir(self.file("notes")).expect("cannot create a folder");
        let deployment = json!({
            "members": self.members,
            "provider": self.place.scratch(),
            "folder": self.file("notes"),
            "state": self.file("state.sqlite"),
        });
        fs::write(self.file("deployment.json"), deployment.to_string()).expect("it can be written");
    }

    fn environment(&self, command: &mut Command, text: &str) {
        command
            .env("BENCH_DEPLOYMENT", self.file("deployment.json"))
            .env("BENCH_TEXT", text);
    }

    fn run(&self, arguments: &[&str], text: &str) -> (Figure, String) {
        let mut command = self.place.command("nixops4-resources");
        command
            .args(arguments)
            .arg("--file")
            .arg(crate::apply::expressions().join("scale.nix"));
        self.environment(&mut command, text);
        self.measure(command)
    }

    /// Runs the command, and counts what it says that it did.
    fn done(&self, arguments: &[&str], text: &str, expected: &[(&str, usize)]) -> Figure {
        let (figure, stdout) = self.run(arguments, text);
        let last = stdout.lines().last().expect("an event");
        let summary: Value = serde_json::from_str(last).expect("JSON");
        for (name, count) in expected {
            assert_eq!(summary[name], *count, "{arguments:?}: {summary}");
        }
        figure
    }

    fn evaluation(&self) -> Figure {
        let mut command = self.place.foreign("nix-instantiate");
        command
            .args(["--eval", "--strict", "--json"])
            .arg(crate::apply::expressions().join("scale-evaluation.nix"));
        self.environment(&mut command, "first");
        self.measure(command).0
    }

    fn measure(&self, command: Command) -> (Figure, String) {
        watch(command, &self.file("stdout"))
    }

    /// One provider that is asked for every note, one after another.
    fn provider(&self, requests: impl Iterator<Item = Value>) -> Figure {
        let mut provider = Provider::spawn(self.place.foreign(self.place.scratch()));
        let begun = Instant::now();
        for request in requests {
            let line = provider.request(request.to_string());
            messages::answer(&request, &line).unwrap_or_else(|error| panic!("{error}"));
        }
        let time = begun.elapsed();
        let _ended = provider.finish();
        Figure { time, memory: 0 }
    }

    fn inputs(&self, folder: &str) -> impl Iterator<Item = Object> {
        let folder = self.file(folder);
        (0..self.members).map(move |index| {
            object(
                json!({ "folder": folder, "owner": "bench", "name": index.to_string(),
                "text": format!("note {index}") }),
            )
        })
    }
}

/// Everything that is measured, in order.
fn figures(place: &Place, members: usize) -> Vec<(&'static str, Figure)> {
    let deployment = Deployment { place, members };
    deployment.prepare();
    let mut figures = vec![("Nix alone: all inputs", deployment.evaluation())];
    fs::create_dir(deployment.file("alone")).expect("cannot create a folder");
    let make = |inputs| messages::create("scratch_note", &inputs, true);
    let look = |inputs: Object| {
        json!({ "nixops4-resources/planResourceRequest":
            { "type": "scratch_note", "inputProperties": inputs, "unknownInputs": [] } })
    };
    figures.push((
        "one provider: create of each",
        deployment.provider(deployment.inputs("alone").map(make)),
    ));
    figures.push((
        "one provider: plan of each",
        deployment.provider(deployment.inputs("alone").map(look)),
    ));
    let apply = &["apply", "--json"];
    let first = deployment.done(apply, "first", &[("created", members)]);
    figures.push(("apply: the first", first));
    let again = deployment.done(apply, "first", &[("unchanged", members), ("created", 0)]);
    figures.push(("apply: nothing to do", again));
    figures.push((
        "plan: nothing to do",
        deployment.run(&["plan", "--json"], "first").0,
    ));
    let one = deployment.done(apply, "another", &[("updated", 1)]);
    figures.push(("apply: one change", one));
    figures.push(("drift", deployment.run(&["drift", "--json"], "another").0));
    let destroy = &["destroy", "--yes", "--json"];
    let gone = deployment.done(destroy, "another", &[("destroyed", members)]);
    figures.push(("destroy", gone));
    figures
}

pub(crate) fn section(place: &Place, settings: &Settings) -> String {
    let sizes = [settings.members, TIMES * settings.members];
    let [small, large] = sizes.map(|members| figures(place, members));
    let mut section = Section::new(
        "The same deployment of notes in a folder, and ten times as large",
        &["time", "ten times as many", "growth", "peak memory"],
    );
    let mut growing = Vec::new();
    let each = |figure: Figure, members: usize| {
        figure.time / u32::try_from(members).expect("not that many members")
    };
    for ((name, few), (_, many)) in small.iter().zip(&large) {
        let growth = many.time.as_secs_f64() / few.time.as_secs_f64();
        if growth > GROWTH_GOAL {
            growing.push(format!("{name} ({growth:.1} times)"));
        }
        let memory = match (few.memory, many.memory) {
            (0, _) | (_, 0) => String::new(),
            (few, many) => format!("{} and {} MiB", few / 1024, many / 1024),
        };
        section.row([
            (*name).to_owned(),
            sample::show(few.time),
            format!(
                "{} ({} each)",
                sample::show(many.time),
                sample::show(each(*many, sizes[1]))
            ),
            format!("{growth:.1} times"),
            memory,
        ]);
    }
    section.goal(
        "ten times as many take no more than 15 times as long",
        &growing,
    );
    section.note(format!(
        "{} and {} notes, each measured once; the command's providers work {} at once",
        thousands(sizes[0]),
        thousands(sizes[1]),
        16
    ));
    section.show()
}

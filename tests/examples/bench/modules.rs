//! What one evaluation of a deployment costs by upstream's `mkRoot` with our
//! modules, and how that grows; beside the same without nixpkgs, and beside the
//! same in upstream's own modules without types, which is what upstream costs.

use std::process::Command;

use crate::Settings;
use crate::apply::expressions;
use crate::place::Place;
use crate::report::{Section, thousands};
use crate::sample;
use crate::start::{Figure, watch};

const TITLE: &str = "One evaluation of tenants, each with a password, by upstream's mkRoot";
/// How many times as many tenants the larger deployment has.
const TIMES: usize = 3;
/// How many times as long it may take, before it counts as growing faster.
const GROWTH_GOAL: f64 = 4.5;

/// What `way` of `tenants.nix` may be, for people, and whether its inputs have
/// types. The last one is the floor.
const WAYS: [(&str, &str, bool); 4] = [
    ("root", "root.nix, without nixpkgs", true),
    (COMPONENT, "mkRoot: components/default.nix", true),
    ("providers", "mkRoot: the provider modules alone", true),
    (FLOOR, "mkRoot: no types at all", false),
];
const COMPONENT: &str = "component";
const FLOOR: &str = "untyped";

/// Reads what is pinned of upstream, and downloads it where that is needed.
const PINS: &str =
    "map (pin: builtins.readDir pin.outPath != { }) (builtins.attrValues (import ./.))";

pub(crate) fn section(place: &Place, settings: &Settings) -> String {
    if let Err(why) = look_for_pins(place) {
        let mut section = Section::new(TITLE, &[]);
        section.note(format!("skipped: {why}"));
        section
            .note("NPINS_OVERRIDE_nixops4 and NPINS_OVERRIDE_nixpkgs_lib name folders of your own");
        return section.show();
    }
    let mut section = Section::new(
        TITLE,
        &[
            "time",
            "three times as many",
            "growth",
            "peak memory",
            "beside no types",
        ],
    );
    let sizes = [settings.members, TIMES * settings.members];
    let figures = WAYS.map(|(way, ..)| sizes.map(|tenants| evaluation(place, way, tenants)));
    for index in 0..sizes.len() {
        let typed = WAYS.iter().zip(&figures).filter(|((.., typed), _)| *typed);
        let mut inputs = typed.map(|(_, sized)| &sized[index].1);
        let first = inputs.next().expect("there is one");
        assert!(inputs.all(|other| other == first), "the ways differ");
    }
    let [.., [(floor, _), _]] = &figures;
    let (mut growing, mut slow) = (Vec::new(), Vec::new());
    for ((way, name, _), [(few, _), (many, _)]) in WAYS.iter().zip(&figures) {
        let growth = many.time.as_secs_f64() / few.time.as_secs_f64();
        if growth > GROWTH_GOAL {
            growing.push(format!("{name} ({growth:.1} times)"));
        }
        let beside = few.time.as_secs_f64() / floor.time.as_secs_f64();
        if *way == COMPONENT && beside > 1.0 {
            slow.push(format!("{beside:.2} times"));
        }
        section.row([
            (*name).to_owned(),
            sample::show(few.time),
            sample::show(many.time),
            format!("{growth:.1} times"),
            format!("{} and {} MiB", few.memory / 1024, many.memory / 1024),
            format!("{beside:.2} times"),
        ]);
    }
    section.goal(
        "three times as many take no more than 4.5 times as long",
        &growing,
    );
    section.goal(
        "components/default.nix takes no longer than no types at all",
        &slow,
    );
    section.note(format!(
        "{} and {} tenants and as many passwords, each measured once",
        thousands(sizes[0]),
        thousands(sizes[1]),
    ));
    section.show()
}

/// Why there are no pins.
fn look_for_pins(place: &Place) -> Result<(), String> {
    let mut command = nix(place);
    command
        .args(["--option", "connect-timeout", "10"])
        .args(["--option", "download-attempts", "2"])
        .args(["--expr", PINS])
        .current_dir(expressions().join("../../../npins"));
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let why = said.lines().find(|line| line.starts_with("error:"));
    Err(format!(
        "what is pinned of upstream can't be read: {}",
        why.unwrap_or(&said)
    ))
}

/// The figure, and the inputs of every member.
fn evaluation(place: &Place, way: &str, tenants: usize) -> (Figure, String) {
    let mut command = nix(place);
    command
        .args(["--argstr", "way", way])
        .args(["--arg", "tenants", &tenants.to_string()])
        .arg(expressions().join("tenants.nix"));
    watch(command, &place.file("tenants"))
}

fn nix(place: &Place) -> Command {
    let mut command = place.foreign("nix-instantiate");
    let folders = std::env::vars_os()
        .filter(|(name, _)| name.to_string_lossy().starts_with("NPINS_OVERRIDE_"));
    command.args(["--eval", "--strict", "--json"]).envs(folders);
    command
}

//! What the figures were measured on.

use std::fs;
use std::process::Command;
use std::thread;

use crate::Settings;
use crate::place::Place;
use crate::report::thousands;

/// The heading of the report.
pub(crate) fn heading(place: &Place, settings: &Settings) -> String {
    let cores = thread::available_parallelism().map_or_else(|_| "?".to_owned(), |n| n.to_string());
    let source = said("git", &["describe", "--always", "--dirty"]);
    let versions = [
        source.map_or_else(
            || place.version(),
            |source| format!("{} ({source})", place.version()),
        ),
        format!(
            "PostgreSQL {}",
            first_word(&place.server.sql("show server_version"))
        ),
        said("nix-instantiate", &["--version"]).map_or_else(
            || "no Nix".to_owned(),
            |text| text.replace("nix-instantiate (Nix)", "Nix"),
        ),
        said("rustc", &["--version"]).map_or_else(
            || "no rustc".to_owned(),
            |text| text.split(" (").take(1).collect(),
        ),
    ];
    let rows = [
        (
            "machine",
            format!(
                "{}, {cores} cores, {}, Linux {}",
                field("/proc/cpuinfo", "model name"),
                memory(),
                read("/proc/sys/kernel/osrelease")
            ),
        ),
        ("load", format!("{} at the start", load())),
        ("versions", versions.join(", ")),
        (
            "runs",
            format!(
                "{} of a process, {} of an apply of {} members (BENCH_RUNS, BENCH_MEMBERS)",
                settings.runs,
                settings.applies(),
                thousands(settings.members)
            ),
        ),
        (
            "figures",
            "median (10th to 90th percentile); what is compared is measured in turns".to_owned(),
        ),
    ];
    let lines: Vec<String> = rows
        .iter()
        .map(|(name, value)| format!("{name:<10}{value}\n"))
        .collect();
    lines.concat()
}

/// How many processes have been running or waiting for a core, on average of a
/// minute.
pub(crate) fn load() -> String {
    first_word(&read("/proc/loadavg")).to_owned()
}

/// The machine's memory; the kernel tells it in KiB.
#[expect(clippy::cast_precision_loss, reason = "some million")]
fn memory() -> String {
    let text = field("/proc/meminfo", "MemTotal");
    first_word(&text).parse::<u64>().map_or_else(
        |_| text.clone(),
        |kibibytes| format!("{:.1} GiB", kibibytes as f64 / f64::from(1 << 20)),
    )
}

/// The value of `NAME : VALUE` in a file of the kernel's.
fn field(path: &str, name: &str) -> String {
    let text = read(path);
    let value = text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    });
    value.unwrap_or_else(|| format!("unknown {name}"))
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "?".to_owned(), |text| text.trim().to_owned())
}

fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or(text)
}

fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

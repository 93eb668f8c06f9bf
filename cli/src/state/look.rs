//! `state list` and `state show`.

use std::fmt::Write as _;

use nixops4_protocol::state::RecordedResource;

use super::{Chosen, StateError};
use crate::commands::Ending;
use crate::failure::Failure;
use crate::member::MemberPath;
use crate::report::FORMAT;
use crate::report::state::{StateEntry, StateList};
use crate::ui::text::{self, Paint};
use crate::ui::{Reader, Ui};

pub(super) fn list(ui: &Ui, chosen: &Chosen<'_>, paths: &[MemberPath]) -> Result<Ending, Failure> {
    let mut resources: Vec<StateEntry> = chosen
        .recorded()
        .filter(|(_, path, _)| {
            paths.is_empty() || paths.iter().any(|wanted| path.is_within(wanted))
        })
        .map(|(keeper, path, recorded)| StateEntry::new(keeper, path, recorded))
        .collect();
    resources.sort_by(|a, b| a.path.cmp(&b.path));
    for path in paths {
        if !resources.iter().any(|entry| entry.path.is_within(path)) {
            return Err(StateError::NotRecorded(path.clone()).into());
        }
    }
    let list = StateList {
        format: FORMAT,
        resources,
    };
    match ui.reader() {
        Reader::Machine => ui.json(&list, true),
        Reader::Person => ui.print(&listing(&list, Ui::width(), ui.paint())),
    }
    Ok(Ending::Done)
}

/// One line for each, or two where they would not fit beside each other.
fn listing(list: &StateList, width: usize, paint: Paint) -> String {
    let lengths = |of: fn(&StateEntry) -> String| {
        let longest = list.resources.iter().map(|entry| of(entry).chars().count());
        longest.max().unwrap_or(0)
    };
    let column = lengths(|entry| entry.path.to_string());
    let fits = column + 2 + lengths(|entry| entry.r#type.clone()) <= width;
    let several = list
        .resources
        .iter()
        .any(|entry| entry.state != list.resources[0].state);
    let mut text = String::new();
    for entry in &list.resources {
        let path = entry.path.to_string();
        let mut kind = text::line(&entry.r#type);
        if several {
            let _ = write!(kind, " (in {})", entry.state);
        }
        if fits {
            let _ = writeln!(text, "{path:column$}  {}", paint.dim(&kind));
        } else {
            let _ = writeln!(text, "{path}\n    {}", paint.dim(&kind));
        }
    }
    let number = list.resources.len();
    let _ = writeln!(
        text,
        "{}",
        paint.bold(&format!(
            "{} recorded",
            text::count(number, "resource", "resources")
        ))
    );
    text
}

pub(super) fn show(ui: &Ui, chosen: &Chosen<'_>, path: &MemberPath) -> Result<Ending, Failure> {
    let found: Vec<_> = chosen
        .recorded()
        .filter(|(_, recorded, _)| *recorded == path)
        .collect();
    let (keeper, recorded) = match found[..] {
        [] => return Err(StateError::NotRecorded(path.clone()).into()),
        [(keeper, _, recorded)] => (keeper, recorded),
        _ => {
            let keepers = found.iter().map(|(keeper, _, _)| (*keeper).clone());
            return Err(StateError::Several(keepers.collect()).into());
        }
    };
    match ui.reader() {
        Reader::Machine => {
            let entry = StateEntry::new(keeper, path, recorded);
            ui.json(&entry.with_properties(recorded), true);
        }
        Reader::Person => ui.print(&shown(keeper, path, recorded, ui.paint())),
    }
    Ok(Ending::Done)
}

fn shown(
    keeper: &MemberPath,
    path: &MemberPath,
    recorded: &RecordedResource,
    paint: Paint,
) -> String {
    let entry = StateEntry::new(keeper, path, recorded);
    let mut text = format!(
        "{}  {}\n",
        paint.bold(&path.to_string()),
        paint.dim(&text::line(&recorded.r#type))
    );
    let _ = writeln!(text, "  recorded by {keeper}");
    match &entry.provider {
        Some(provider) => {
            let _ = writeln!(text, "  made by {}", text::line(&provider.join(" ")));
        }
        None => text.push_str("  made by a provider that was not recorded\n"),
    }
    match &entry.depends_on {
        None => text.push_str("  what it was made from is not known\n"),
        Some(outputs) if outputs.is_empty() => text.push_str("  made from no other resource\n"),
        Some(outputs) => {
            text.push_str("  made from\n");
            for output in outputs {
                let _ = match &output.output {
                    Some(name) => writeln!(text, "    {}.{}", output.path, text::line(name)),
                    None => writeln!(text, "    {}", output.path),
                };
            }
        }
    }
    for (title, properties) in [
        ("inputs", &recorded.input_properties),
        ("outputs", &recorded.output_properties),
    ] {
        let _ = writeln!(text, "  {title}");
        for (name, value) in properties.iter().filter(|(_, value)| !value.is_null()) {
            let written = serde_json::to_string_pretty(value).unwrap_or_default();
            let written = text::indented(&text::escaped(&written), "    ");
            let _ = writeln!(text, "    {}: {written}", text::line(name));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_terminal_gets_two_lines_for_each() {
        let entry = |names: &[&str], state: &str| StateEntry {
            path: MemberPath(names.iter().map(|&name| name.to_owned()).collect()),
            r#type: "postgresql_database".to_owned(),
            state: MemberPath(vec![state.to_owned()]),
            provider: None,
            depends_on: None,
            inputs: None,
            outputs: None,
        };
        let mut list = StateList {
            format: FORMAT,
            resources: vec![entry(&["web", "db"], "state"), entry(&["a"], "state")],
        };
        let plain = Paint { colour: false };
        assert_eq!(
            listing(&list, 80, plain),
            "web.db  postgresql_database\na       postgresql_database\n2 resources recorded\n"
        );
        assert_eq!(
            listing(&list, 24, plain),
            "web.db\n    postgresql_database\na\n    postgresql_database\n2 resources recorded\n"
        );
        list.resources[1].state = MemberPath(vec!["other".to_owned()]);
        assert!(listing(&list, 80, plain).contains("postgresql_database (in other)"));
        list.resources.clear();
        assert_eq!(listing(&list, 80, plain), "0 resources recorded\n");
    }
}

//! Settings (GUCs) that a role or a database brings along, as
//! `pg_db_role_setting` holds them.

use std::collections::BTreeMap;

use nixops4_provider_sdk::{Error, Result};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::name::Name;
use crate::sql::{Ident, Literal};

/// Settings whose value is a list of names, each quoted by itself, as `pg_dump`
/// knows them. The server keeps one literal as one name.
const LISTS: [&str; 7] = [
    "local_preload_libraries",
    "oauth_validator_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// Settings by name.
pub(crate) type Settings = BTreeMap<String, Setting>;

/// The value of a setting.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(
    untagged,
    expecting = "the value of a setting is text, a number, true or false"
)]
pub(crate) enum Setting {
    Flag(bool),
    Whole(i64),
    Fraction(f64),
    Text(String),
}

impl JsonSchema for Setting {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Setting".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer", "number", "boolean"] })
    }
}

impl Setting {
    fn text(&self) -> String {
        match self {
            Self::Flag(true) => "on".to_owned(),
            Self::Flag(false) => "off".to_owned(),
            Self::Whole(number) => number.to_string(),
            Self::Fraction(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// One setting that is another than it should be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Deviation {
    /// Its name, as the side has it that has it.
    pub(crate) name: Name,
    pub(crate) before: Option<String>,
    /// What it should be; nothing: it should not be set.
    pub(crate) after: Option<String>,
}

impl Deviation {
    /// The statement that mends it; `target` is such as `ALTER ROLE "app"`.
    pub(crate) fn statement(&self, target: &str) -> String {
        match &self.after {
            Some(value) => set(target, &self.name, value),
            None => format!("{target} RESET {}", Ident(&self.name)),
        }
    }
}

/// Refuses names and values that no server takes. `pointer` is where the
/// settings stand.
pub(crate) fn validate(settings: &Settings, pointer: &str) -> Result<()> {
    let mut seen = BTreeMap::new();
    for (name, value) in settings {
        let here = format!("{pointer}/{}", escape(name));
        Name::try_from(name.clone()).map_err(|problem| Error::input(&here, problem))?;
        if value.text().contains('\0') {
            return Err(Error::input(
                here,
                "a setting can't have a NUL character in it",
            ));
        }
        if let Some(other) = seen.insert(name.to_lowercase(), name) {
            return Err(
                Error::input(here, format!("{other:?} and {name:?} are the same setting"))
                    .hint("names of settings don't differ by case; leave one of them out"),
            );
        }
    }
    Ok(())
}

/// What has to be done so that exactly the wanted settings are there.
pub(crate) fn deviations(want: &Settings, have: &BTreeMap<String, String>) -> Vec<Deviation> {
    let found = |name: &str| {
        have.iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    };
    let mut all = Vec::new();
    for (name, value) in want {
        let (before, after) = (found(name), value.text());
        if before.is_none_or(|before| normal(name, before) != normal(name, &after)) {
            all.push((name.clone(), before.cloned(), Some(after)));
        }
    }
    for (name, value) in have {
        if !want.keys().any(|wanted| wanted.eq_ignore_ascii_case(name)) {
            all.push((name.clone(), Some(value.clone()), None));
        }
    }
    // `validate` has refused the wanted names that are none; the server has none.
    all.into_iter()
        .filter_map(|(name, before, after)| {
            Some(Deviation {
                name: Name::try_from(name).ok()?,
                before,
                after,
            })
        })
        .collect()
}

/// The statements that set all of them on something new.
pub(crate) fn all(target: &str, settings: &Settings) -> String {
    let nothing = BTreeMap::new();
    let statements: Vec<_> = deviations(settings, &nothing)
        .iter()
        .map(|deviation| deviation.statement(target))
        .collect();
    statements.join("; ")
}

/// `NAME=VALUE` as the catalog has it.
pub(crate) fn parse(entry: &str) -> Option<(String, String)> {
    let (name, value) = entry.split_once('=')?;
    Some((name.to_owned(), value.to_owned()))
}

/// A name as one token of a JSON pointer.
pub(crate) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn is_list(name: &str) -> bool {
    LISTS.iter().any(|list| list.eq_ignore_ascii_case(name))
}

fn set(target: &str, name: &Name, value: &str) -> String {
    let mut values: Vec<_> = if is_list(name.as_str()) {
        names(value)
            .iter()
            .map(|name| Literal(name).to_string())
            .collect()
    } else {
        vec![Literal(value).to_string()]
    };
    if values.is_empty() {
        values.push(Literal("").to_string());
    }
    format!("{target} SET {} = {}", Ident(name), values.join(", "))
}

/// A value in a form that can be compared.
fn normal(name: &str, value: &str) -> Vec<String> {
    if !is_list(name) {
        return vec![value.to_owned()];
    }
    names(value)
        .into_iter()
        .filter(|name| !name.is_empty())
        .collect()
}

/// Splits a list of names as the server does: commas between them, quotes where
/// the case or a comma matters.
fn names(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut name = String::new();
    let mut quoted = false;
    let mut was_quoted = false;
    let mut rest = list.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' if quoted && rest.peek() == Some(&'"') => {
                rest.next();
                name.push('"');
            }
            '"' => {
                if !quoted {
                    name.clear();
                }
                quoted = !quoted;
                was_quoted = true;
            }
            ',' if !quoted => {
                names.push(finish(&mut name, &mut was_quoted));
            }
            c if was_quoted && !quoted && c.is_whitespace() => {}
            c => name.push(c),
        }
    }
    if !names.is_empty() || was_quoted || !name.trim().is_empty() {
        names.push(finish(&mut name, &mut was_quoted));
    }
    names
}

fn finish(name: &mut String, was_quoted: &mut bool) -> String {
    let whole = std::mem::take(name);
    if std::mem::take(was_quoted) {
        whole
    } else {
        whole.trim().to_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(all: &[(&str, &str)]) -> Settings {
        all.iter()
            .map(|(name, value)| ((*name).to_owned(), Setting::Text((*value).to_owned())))
            .collect()
    }

    #[test]
    fn lists_of_names() {
        for (list, expected) in [
            ("", vec![]),
            ("app", vec!["app"]),
            ("App, public", vec!["app", "public"]),
            (r#""$user", public"#, vec!["$user", "public"]),
            (r#""A,b" , "c""d""#, vec!["A,b", "c\"d"]),
            (r#""""#, vec![""]),
        ] {
            assert_eq!(names(list), expected, "{list}");
        }
    }

    #[test]
    fn statements() {
        for (name, value, statement) in [
            ("work_mem", "64MB", r#"X SET "work_mem" = '64MB'"#),
            (
                "search_path",
                r#""$user", Public"#,
                r#"X SET "search_path" = '$user', 'public'"#,
            ),
            ("search_path", "", r#"X SET "search_path" = ''"#),
            ("app.it's", "o'clock", r#"X SET "app.it's" = 'o''clock'"#),
        ] {
            assert_eq!(all("X", &settings(&[(name, value)])), statement);
        }
    }

    #[test]
    fn what_deviates() {
        let have: BTreeMap<_, _> = [
            ("DateStyle", "ISO"),
            ("search_path", "app, public"),
            ("old", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let want = settings(&[
            ("datestyle", "ISO"),
            ("search_path", "app,public"),
            ("new", "2"),
        ]);
        let found: Vec<_> = deviations(&want, &have)
            .iter()
            .map(|deviation| deviation.statement("X"))
            .collect();
        assert_eq!(found, [r#"X SET "new" = '2'"#, r#"X RESET "old""#]);
    }

    #[test]
    fn values_of_all_types() {
        assert_eq!(Setting::Flag(true).text(), "on");
        assert_eq!(Setting::Whole(-1).text(), "-1");
        assert_eq!(Setting::Fraction(0.5).text(), "0.5");
    }

    #[test]
    fn what_is_refused() {
        for (name, value, problem) in [
            ("", "x", "empty"),
            ("a\0", "x", "NUL"),
            ("a", "x\0", "NUL"),
            (&*"x".repeat(64), "x", "64 bytes"),
        ] {
            let error = validate(&settings(&[(name, value)]), "/settings").unwrap_err();
            assert!(error.to_string().contains(problem), "{error}");
        }
        let twice = validate(&settings(&[("A", "1"), ("a", "2")]), "/settings").unwrap_err();
        assert!(twice.to_string().contains("same setting"), "{twice}");
    }
}

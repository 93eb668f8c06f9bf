//! Giving what is recorded another name.

use json_patch::{MoveOperation, Patch, PatchOperation, ReplaceOperation};
use serde_json::{Value, json};

use super::{
    Dependency, EXTENSION_KEY, MemberPath, StateError, composite_pointer, missing_above, pointer,
    resources,
};

/// Why something can't get another name.
#[derive(Debug, thiserror::Error)]
pub enum RenameError {
    /// The document can't be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// There is nothing under the old name.
    #[error("nothing is recorded at {from}")]
    Nothing {
        /// The old name, with dots.
        from: String,
    },
    /// There is something under the new name.
    #[error("something is recorded at {to} already")]
    Taken {
        /// The new name, with dots.
        to: String,
    },
    /// A composite can't be moved into itself.
    #[error("{to} is within {from}")]
    Within {
        /// The old name, with dots.
        from: String,
        /// The new name, with dots.
        to: String,
    },
}

/// The patch that moves what is recorded at `from`, a resource or a composite,
/// to `to`, and lets what depends on it depend on that. Neither is empty.
pub fn rename(state: &Value, from: &MemberPath, to: &MemberPath) -> Result<Patch, RenameError> {
    let recorded = resources(state)?;
    if to.starts_with(from) {
        return Err(RenameError::Within {
            from: from.join("."),
            to: to.join("."),
        });
    }
    let is_there = |place: &str| state.pointer(place).is_some();
    let places = [
        (pointer(from), pointer(to), "resources"),
        (
            composite_pointer(from),
            composite_pointer(to),
            "deployments",
        ),
    ];
    if places.iter().any(|(_, new, _)| is_there(new.as_str())) {
        return Err(RenameError::Taken { to: to.join(".") });
    }
    let mut operations = Vec::new();
    let mut document = state.clone();
    for (old, new, kind) in places {
        if !is_there(old.as_str()) {
            continue;
        }
        let mut moving = missing_above(&document, to, kind);
        moving.push(PatchOperation::Move(MoveOperation {
            from: old,
            path: new,
        }));
        // Fits: what is above was added just now.
        let _ = json_patch::patch(&mut document, &moving);
        operations.extend(moving);
    }
    if operations.is_empty() {
        return Err(RenameError::Nothing {
            from: from.join("."),
        });
    }
    for (path, resource) in recorded {
        let known = resource
            .extension
            .and_then(|extension| extension.depends_on);
        let Some(dependencies) = known.filter(|all| all.iter().any(|one| one.is_within(from)))
        else {
            continue;
        };
        let renamed: Vec<Dependency> = dependencies
            .into_iter()
            .map(|dependency| dependency.renamed(from, to))
            .collect();
        let mut place = pointer(&renamed_path(&path, from, to));
        place.push_back(EXTENSION_KEY);
        place.push_back("dependsOn");
        operations.push(PatchOperation::Replace(ReplaceOperation {
            path: place,
            value: json!(renamed),
        }));
    }
    Ok(Patch(operations))
}

impl Dependency {
    fn is_within(&self, path: &MemberPath) -> bool {
        self.path.starts_with(path)
    }

    fn renamed(mut self, from: &MemberPath, to: &MemberPath) -> Self {
        self.path = renamed_path(&self.path, from, to);
        self
    }
}

fn renamed_path(path: &MemberPath, from: &MemberPath, to: &MemberPath) -> Vec<String> {
    match path.strip_prefix(from) {
        Some(rest) => [to, rest].concat(),
        None => path.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{RecordedResource, check, empty, record, resource};

    fn path(dotted: &str) -> Vec<String> {
        dotted.split('.').map(str::to_owned).collect()
    }

    fn entry(kind: &str, depends_on: &[&str]) -> RecordedResource {
        let dependency = |dotted: &&str| json!({ "path": path(dotted), "output": "name" });
        let depends_on: Vec<Value> = depends_on.iter().map(dependency).collect();
        serde_json::from_value(json!({
            "type": kind, "input_properties": {}, "output_properties": {},
            EXTENSION_KEY: { "executable": "x", "dependsOn": depends_on, "later": 1 },
        }))
        .unwrap()
    }

    fn document() -> Value {
        let mut document = empty();
        for (dotted, depends_on) in [
            ("role", &[][..]),
            ("mail.role", &["role"]),
            ("mail.db", &["mail.role", "role"]),
            ("web", &["mail.db"]),
        ] {
            let patch = record(&document, &path(dotted), &entry("t", depends_on));
            json_patch::patch(&mut document, &patch).unwrap();
        }
        document
    }

    fn renamed(from: &str, to: &str) -> Value {
        let mut document = document();
        let patch = rename(&document, &path(from), &path(to)).unwrap();
        json_patch::patch(&mut document, &patch).unwrap();
        check(&document).unwrap();
        document
    }

    fn depends_on(document: &Value, dotted: &str) -> Vec<String> {
        let found = resource(document, &path(dotted)).unwrap().unwrap();
        let extension = found.extension.unwrap();
        assert_eq!(extension.others["later"], 1);
        let names = extension.depends_on.unwrap().into_iter();
        names.map(|dependency| dependency.path.join(".")).collect()
    }

    #[test]
    fn a_resource_and_what_depends_on_it() {
        let after = renamed("role", "new.place.admin");
        assert_eq!(resource(&after, &path("role")).unwrap(), None);
        assert_eq!(depends_on(&after, "new.place.admin"), [""; 0]);
        assert_eq!(depends_on(&after, "mail.role"), ["new.place.admin"]);
        assert_eq!(
            depends_on(&after, "mail.db"),
            ["mail.role", "new.place.admin"]
        );
    }

    #[test]
    fn a_composite_with_all_that_is_in_it() {
        for to in ["post", "web2.post"] {
            let after = renamed("mail", to);
            assert_eq!(after.pointer("/deployments/mail"), None);
            let role = format!("{to}.role");
            assert_eq!(depends_on(&after, &format!("{to}.db")), [&role, "role"]);
            assert_eq!(depends_on(&after, "web"), [format!("{to}.db")]);
        }
    }

    #[test]
    fn a_name_like_another_is_another() {
        let mut document = document();
        let patch = record(&document, &path("mail2.x"), &entry("t", &["mail.db"]));
        json_patch::patch(&mut document, &patch).unwrap();
        let patch = rename(&document, &path("mail2"), &path("mail3")).unwrap();
        json_patch::patch(&mut document, &patch).unwrap();
        assert_eq!(depends_on(&document, "mail3.x"), ["mail.db"]);
    }

    #[test]
    fn what_can_not_be_renamed() {
        for (from, to, why) in [
            ("none", "other", "nothing is recorded at none"),
            ("mail.none", "other", "nothing is recorded at mail.none"),
            ("role", "web", "something is recorded at web already"),
            ("web", "mail", "something is recorded at mail already"),
            ("mail", "mail.inner", "mail.inner is within mail"),
            ("role", "role", "role is within role"),
        ] {
            let error = rename(&document(), &path(from), &path(to)).unwrap_err();
            assert_eq!(error.to_string(), why);
        }
    }
}

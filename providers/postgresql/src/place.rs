//! Where privileges are held, and how that is written in SQL.
//!
//! It must not know a connection, nor which privileges are wanted.

use std::collections::BTreeSet;
use std::fmt;

use crate::acl::{Class, Privilege};
use crate::name::Name;
use crate::sql::Ident;

/// What has an access list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// An object with a name.
    Named {
        class: Class,
        schema: Option<Name>,
        name: Name,
    },
    /// A function, procedure or aggregate: its name and argument types, quoted
    /// by the server.
    Routine { schema: Name, signature: String },
    /// A column of a table.
    Column {
        schema: Name,
        table: Name,
        column: Name,
    },
    /// The objects that a role makes from now on, in one schema or in each.
    Future {
        class: Class,
        creator: Name,
        schema: Option<Name>,
    },
}

/// Who gets privileges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grantee {
    /// The role's object identifier; 0 for everybody.
    pub(crate) oid: i64,
    /// No name: everybody.
    pub(crate) name: Option<Name>,
}

impl fmt::Display for Grantee {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => Ident(name).fmt(out),
            None => out.write_str("PUBLIC"),
        }
    }
}

/// What a statement does with privileges. Revoking comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    Revoke { cascade: bool },
    RevokeOption { cascade: bool },
    Grant { grantable: bool },
}

impl Place {
    /// Which privileges it can have.
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Named { class, .. } | Self::Future { class, .. } => *class,
            Self::Routine { .. } => Class::Function,
            Self::Column { .. } => Class::Column,
        }
    }

    /// The schema that whoever names it needs USAGE of.
    pub(crate) fn schema(&self) -> Option<&Name> {
        match self {
            Self::Named { schema, .. } => schema.as_ref(),
            Self::Routine { schema, .. } | Self::Column { schema, .. } => Some(schema),
            Self::Future { .. } => None,
        }
    }

    /// Whether one statement can name several such places.
    pub(crate) fn shares_statements(&self) -> bool {
        matches!(self, Self::Named { .. } | Self::Routine { .. })
    }

    /// Its name, for a statement of its class.
    fn target(&self) -> String {
        match self {
            Self::Named {
                schema: Some(schema),
                name,
                ..
            } => qualified(schema, name),
            Self::Named {
                schema: None, name, ..
            } => Ident(name).to_string(),
            Self::Routine { signature, .. } => signature.clone(),
            Self::Column { schema, table, .. } => qualified(schema, table),
            Self::Future { class, .. } => plural(*class).to_owned(),
        }
    }
}

/// As errors and plans name it.
impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column { column, .. } => {
                write!(out, "column {} of table {}", Ident(column), self.target())
            }
            Self::Future {
                class,
                creator,
                schema,
            } => {
                write!(
                    out,
                    "{} that {} makes",
                    plural(*class).to_lowercase(),
                    Ident(creator)
                )?;
                schema
                    .as_ref()
                    .map_or(Ok(()), |schema| write!(out, " in {}", Ident(schema)))
            }
            Self::Named { class, .. } => {
                write!(out, "{} {}", keyword(*class).to_lowercase(), self.target())
            }
            Self::Routine { .. } => write!(out, "function {}", self.target()),
        }
    }
}

fn qualified(schema: &Name, name: &Name) -> String {
    format!("{}.{}", Ident(schema), Ident(name))
}

/// The class in GRANT.
pub(crate) fn keyword(class: Class) -> &'static str {
    match class {
        Class::Database => "DATABASE",
        Class::Tablespace => "TABLESPACE",
        Class::Schema => "SCHEMA",
        // A column is named by its table.
        Class::Table | Class::Column => "TABLE",
        Class::Sequence => "SEQUENCE",
        Class::Function => "ROUTINE",
        Class::Type => "TYPE",
        Class::Language => "LANGUAGE",
        Class::ForeignServer => "FOREIGN SERVER",
        Class::ForeignDataWrapper => "FOREIGN DATA WRAPPER",
        Class::LargeObject => "LARGE OBJECT",
    }
}

/// The class in ALTER DEFAULT PRIVILEGES.
pub(crate) fn plural(class: Class) -> &'static str {
    match class {
        Class::Schema => "SCHEMAS",
        Class::Table | Class::Column => "TABLES",
        Class::Sequence => "SEQUENCES",
        Class::Function => "ROUTINES",
        Class::Type => "TYPES",
        Class::LargeObject => "LARGE OBJECTS",
        Class::Database => "DATABASES",
        Class::Tablespace => "TABLESPACES",
        Class::Language => "LANGUAGES",
        Class::ForeignServer => "FOREIGN SERVERS",
        Class::ForeignDataWrapper => "FOREIGN DATA WRAPPERS",
    }
}

/// The statement that does it for places of one class; for several only where
/// they share statements.
pub(crate) fn statement(
    verb: Verb,
    privileges: &BTreeSet<Privilege>,
    places: &[&Place],
    grantee: &Grantee,
) -> String {
    let Some(first) = places.first() else {
        return String::new();
    };
    let column = match first {
        Place::Column { column, .. } => format!(" ({})", Ident(column)),
        _ => String::new(),
    };
    let words: Vec<_> = privileges
        .iter()
        .map(|one| format!("{}{column}", one.keyword()))
        .collect();
    let targets: Vec<_> = places.iter().map(|place| place.target()).collect();
    let (prefix, on) = match first {
        Place::Future {
            creator, schema, ..
        } => {
            let schema = schema.as_ref();
            let schema =
                schema.map_or_else(String::new, |name| format!("IN SCHEMA {} ", Ident(name)));
            let prefix = format!(
                "ALTER DEFAULT PRIVILEGES FOR ROLE {} {schema}",
                Ident(creator)
            );
            (prefix, targets.join(", "))
        }
        place => (
            String::new(),
            format!("{} {}", keyword(place.class()), targets.join(", ")),
        ),
    };
    let words = words.join(", ");
    let end = |cascade| if cascade { " CASCADE" } else { "" };
    match verb {
        Verb::Grant { grantable } => {
            let option = if grantable { " WITH GRANT OPTION" } else { "" };
            format!("{prefix}GRANT {words} ON {on} TO {grantee}{option}")
        }
        Verb::Revoke { cascade } => {
            format!(
                "{prefix}REVOKE {words} ON {on} FROM {grantee}{}",
                end(cascade)
            )
        }
        Verb::RevokeOption { cascade } => {
            format!(
                "{prefix}REVOKE GRANT OPTION FOR {words} ON {on} FROM {grantee}{}",
                end(cascade)
            )
        }
    }
}

/// Splits `name(argument types)`. The name is taken as it stands, or stands in
/// double quotes if it has a parenthesis in it; the types are as in SQL.
pub(crate) fn split_signature(text: &str) -> Result<(Name, &str), String> {
    let wrong = || {
        format!(
            "{text:?} is no signature: write the name and the argument types, such as \
             \"total(integer, text)\" or \"now()\""
        )
    };
    let (name, arguments) = if let Some(rest) = text.strip_prefix('"') {
        split_quoted(rest).ok_or_else(wrong)?
    } else {
        let parenthesis = text.find('(').ok_or_else(wrong)?;
        let (name, arguments) = text.split_at(parenthesis);
        (name.trim_end().to_owned(), arguments)
    };
    let arguments = arguments.trim();
    if !arguments.starts_with('(') || !arguments.ends_with(')') || arguments.contains('\0') {
        return Err(wrong());
    }
    Ok((Name::try_from(name)?, arguments))
}

/// What stands before the closing quote, and what comes after it.
fn split_quoted(rest: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut characters = rest.char_indices().peekable();
    while let Some((_, character)) = characters.next() {
        match (character, characters.peek()) {
            ('"', Some((_, '"'))) => {
                characters.next();
                name.push('"');
            }
            ('"', Some((next, _))) => return Some((name, &rest[*next..])),
            ('"', None) => return None,
            _ => name.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::try_from(text.to_owned()).unwrap()
    }

    fn table(text: &str) -> Place {
        Place::Named {
            class: Class::Table,
            schema: Some(name("s")),
            name: name(text),
        }
    }

    #[test]
    fn statements() {
        let some = BTreeSet::from([Privilege::Select, Privilege::Insert]);
        let role = Grantee {
            oid: 1,
            name: Some(name(r#"x"; DROP ROLE y; --"#)),
        };
        let everybody = Grantee { oid: 0, name: None };
        let (one, two) = (table("a"), table(r#"b"c"#));
        let column = Place::Column {
            schema: name("s"),
            table: name("t"),
            column: name("c d"),
        };
        let future = Place::Future {
            class: Class::Table,
            creator: name("m"),
            schema: Some(name("s")),
        };
        let everywhere = Place::Future {
            class: Class::Type,
            creator: name("m"),
            schema: None,
        };
        let routine = Place::Routine {
            schema: name("s"),
            signature: "s.f(integer)".to_owned(),
        };
        let plain = Verb::Grant { grantable: false };
        for (verb, places, grantee, expected) in [
            (
                plain,
                &[&one, &two][..],
                &role,
                r#"GRANT SELECT, INSERT ON TABLE "s"."a", "s"."b""c" TO "x""; DROP ROLE y; --""#,
            ),
            (
                Verb::Grant { grantable: true },
                &[&column],
                &role,
                r#"GRANT SELECT ("c d"), INSERT ("c d") ON TABLE "s"."t" TO "x""; DROP ROLE y; --" WITH GRANT OPTION"#,
            ),
            (
                Verb::Revoke { cascade: false },
                &[&routine],
                &everybody,
                "REVOKE SELECT, INSERT ON ROUTINE s.f(integer) FROM PUBLIC",
            ),
            (
                Verb::RevokeOption { cascade: true },
                &[&future],
                &everybody,
                r#"ALTER DEFAULT PRIVILEGES FOR ROLE "m" IN SCHEMA "s" REVOKE GRANT OPTION FOR SELECT, INSERT ON TABLES FROM PUBLIC CASCADE"#,
            ),
            (
                plain,
                &[&everywhere],
                &everybody,
                r#"ALTER DEFAULT PRIVILEGES FOR ROLE "m" GRANT SELECT, INSERT ON TYPES TO PUBLIC"#,
            ),
        ] {
            assert_eq!(statement(verb, &some, places, grantee), expected);
        }
    }

    #[test]
    fn signatures() {
        for (text, expected) in [
            ("now()", Some(("now", "()"))),
            (
                "Total(integer, numeric(10,2))",
                Some(("Total", "(integer, numeric(10,2))")),
            ),
            ("total (integer)", Some(("total", "(integer)"))),
            (
                r#""odd(name)""x"(text)"#,
                Some((r#"odd(name)"x"#, "(text)")),
            ),
            (r#"a"b(text)"#, Some((r#"a"b"#, "(text)"))),
            ("total", None),
            ("total(", None),
            ("(integer)", None),
            (r#""unfinished(integer)"#, None),
            (r#""x""#, None),
            ("f(\0)", None),
            ("", None),
        ] {
            let got = split_signature(text).ok();
            let got = got
                .as_ref()
                .map(|(name, arguments)| (name.as_str(), *arguments));
            assert_eq!(got, expected, "{text}");
        }
    }
}

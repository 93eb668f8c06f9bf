//! Why a record is not followed, and what to do about it.

use crate::shell;
use crate::text;

/// Why a record is not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// It would start something.
    #[error(
        "{} was not started, because neither the expression nor the command line names it, and \
         {why}{}",
        quoted(words),
        provider_hint(words)
    )]
    Provider {
        /// The executable and its arguments.
        words: Vec<String>,
        /// Why that is needed.
        why: String,
    },
    /// It would send a secret somewhere.
    #[error(
        "what is recorded sends a secret to a server that the expression does not name, nor did \
         at the last apply here: {}; nothing was sent{}",
        text::line(connection),
        connection_hint(connection)
    )]
    Connection {
        /// The connection, as JSON.
        connection: String,
    },
    /// It would touch what is another deployment's.
    #[error(
        "what is recorded is said to be of the deployment {}, which the expression does not \
         name, nor did at the last apply here; its provider was not asked{}",
        text::quoted(deployment),
        hint("--allow-deployment", deployment)
    )]
    Deployment {
        /// Its name.
        deployment: String,
    },
    /// What the expression names could not be built, or does not say what it is.
    #[error("{0}")]
    Unknown(String),
}

/// Each word in quotes, and nothing in them that steers a terminal.
pub(super) fn quoted(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| text::quoted(word)).collect();
    words.join(" ")
}

fn provider_hint(words: &[String]) -> String {
    let line = shell::joined(words.iter().map(String::as_str));
    hint("--allow-provider", &line)
}

fn connection_hint(connection: &str) -> String {
    hint("--allow-connection", connection)
}

/// What allows it, if that can be printed as it is.
fn hint(option: &str, value: &str) -> String {
    if text::line(value) == value {
        format!(
            "\nhint: if you know it and want that, add {option} {}",
            shell::word(value)
        )
    } else {
        "\nhint: see how that came into the state (`nixops4-resources state history`), and remove \
         it with `nixops4-resources state rm`"
            .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::Distrust;

    #[test]
    fn what_is_refused_is_quoted_and_can_be_allowed_as_it_is() {
        let provider = |words: &[&str]| {
            Distrust::Provider {
                words: words.iter().map(|&word| word.to_owned()).collect(),
                why: "no".to_owned(),
            }
            .to_string()
        };
        let told = provider(&["/tmp/e vil", "--x"]);
        assert!(
            told.starts_with(r#""/tmp/e vil" "--x" was not started, "#),
            "{told}"
        );
        let option = r"--allow-provider ''\''/tmp/e vil'\'' --x'";
        assert!(told.ends_with(option), "{told}");
        let told = provider(&["/x\u{202e}\n", "a"]);
        assert!(told.contains(r#""/x\u202e\n" "a""#), "{told}");
        assert!(!told.contains("--allow"), "{told}");
    }
}

//! The kind `secrets_password`.

use nixops4_resources_tests::conformance::{Bad, Verdict};
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::{Value, json};

use crate::secrets::{Kind, Secrets, bad, patched};

nixops4_resources_tests::conformance!(Secrets<Password>);

struct Password;

impl Kind for Password {
    const TYPE: &'static str = "secrets_password";
    const KILLS_THE_STORE: bool = true;

    fn new(_: &Sandbox) -> Self {
        Self
    }

    fn fields(&self) -> Vec<(&'static str, Value, Verdict)> {
        vec![
            ("/length", json!(40), Verdict::Ignored),
            ("/symbols", json!(true), Verdict::Ignored),
            ("/upper", json!(false), Verdict::Ignored),
            ("/minDigits", json!(3), Verdict::Ignored),
            ("/symbolSet", json!("!"), Verdict::Ignored),
            ("/rotateAfter", json!("90d"), Verdict::Ignored),
        ]
    }

    fn bad(&self) -> Vec<Bad> {
        vec![
            bad("/rotateAfter", json!("soon"), &["no length of time", "90d"]),
            bad("/length", json!(7), &["8 to 1024"]),
            bad("/length", json!(1025), &["8 to 1024"]),
            bad("/length", json!("32"), &["expected a whole number"]),
            bad("/minSymbols", json!(1), &["isn't used", "use the class"]),
            patched(
                &[("/minLower", json!(20)), ("/minDigits", json!(13))],
                "/length",
                &["too short for the 33"],
            ),
            patched(
                &[
                    ("/lower", json!(false)),
                    ("/upper", json!(false)),
                    ("/digits", json!(false)),
                ],
                "/lower",
                &["at least one of"],
            ),
            patched(
                &[("/symbols", json!(true)), ("/symbolSet", json!(""))],
                "/symbolSet",
                &["no character"],
            ),
        ]
    }
}

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;

use super::{EvalError, Root, read};

const OLD: &str = "\
warning: the group 'nixbld' specified in 'build-users-group' does not exist
error: attribute 'nope' missing

       at /work/site/nixops4.nix:4:21:

            3|    members.a.resource = {
            4|      inputs = { x = { }.nope; };
             |                     ^
            5|   };

       … while evaluating 'whole'

       at /tmp/nixops4-resources-x/driver.nix:122:11:

          121|
          122|   whole = value: seq value value;
             |           ^

       … while evaluating the inputs of the member 'a'
";

const NEW: &str = "\
error:
       … while evaluating the inputs of the member 'a'

       … while calling the 'seq' builtin
         at /tmp/nixops4-resources-x/driver.nix:122:11:
          121|
          122|   whole = value: seq value value;
             |           ^

       … while evaluating the attribute 'x'
         at /work/site/nixops4.nix:4:17:
            3|    members.a.resource = {
            4|      inputs = { x = throw \"mine\"; };
             |                 ^
            5|   };

       error: mine
";

fn told(stderr: &str, show_trace: bool) -> EvalError {
    read(
        stderr,
        ExitStatus::from_raw(256),
        Path::new("/tmp/nixops4-resources-x/driver.nix"),
        &Root::File("/work/site/nixops4.nix".into()),
        show_trace,
    )
}

#[test]
fn old_nix_and_new_nix_are_both_understood() {
    assert_eq!(
        told(OLD, false).to_string(),
        "\
/work/site/nixops4.nix:4:21: attribute 'nope' missing
  3|    members.a.resource = {
  4|      inputs = { x = { }.nope; };
   |                     ^
  5|   };
while evaluating the inputs of the member 'a'
(--show-trace shows all that Nix says)"
    );
    assert_eq!(
        told(NEW, false).to_string(),
        "\
/work/site/nixops4.nix:4:17: mine
  3|    members.a.resource = {
  4|      inputs = { x = throw \"mine\"; };
   |                 ^
  5|   };
while evaluating the inputs of the member 'a'
(--show-trace shows all that Nix says)"
    );
}

#[test]
fn the_trace_is_shown_if_asked_for() {
    let told = told(NEW, true).to_string();
    assert!(told.contains("while calling the 'seq' builtin"), "{told}");
    assert!(!told.contains("--show-trace"), "{told}");
}

#[test]
fn a_missing_output_is_no_mistake() {
    let stderr =
        "error: @nixops4-resources@: the output 'o' of 'a' is not known before that is applied\n";
    assert!(matches!(told(stderr, false), EvalError::Unknown));
}

#[test]
fn our_own_messages_are_shown_plainly() {
    for quotes in ["''", "‘’"] {
        let (open, close) = quotes.split_at(quotes.len() / 2);
        let stderr = format!(
            "error: evaluation aborted with the following error message: {open}@nixops4-resources@: no root{close}\n"
        );
        assert!(told(&stderr, false).to_string().starts_with("no root\n"));
    }
}

#[test]
fn what_is_not_understood_is_repeated() {
    assert!(
        told("Killed\nreally\n", false)
            .to_string()
            .starts_with("Killed\nreally\n")
    );
}

#[test]
fn a_signal_is_no_mistake_of_the_author() {
    let error = read(
        "error: interrupted by the user",
        ExitStatus::from_raw(2),
        Path::new("/d"),
        &Root::File("/f".into()),
        false,
    );
    assert!(matches!(error, EvalError::Interrupted(_)));
}

//! The line that says how much of everything is done.

use crate::secret::on_terminal_of;
use crate::support::Deployment;

const SPINNERS: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

fn things(number: usize) -> String {
    let things: Vec<String> = (0..number)
        .map(|number| format!("t{number} = thing \"t{number}\" {{ sleep = 300; }};"))
        .collect();
    format!("{{ inherit state; {} }}", things.concat())
}

/// Each line as it was drawn, without what moves the cursor.
fn drawn(seen: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for line in seen.split(['\r', '\n']) {
        let mut plain = String::new();
        let mut rest = line.chars();
        while let Some(c) = rest.next() {
            if c == '\u{1b}' {
                // ESC [ ... LETTER
                let _ = rest.by_ref().skip(1).find(char::is_ascii_alphabetic);
            } else {
                plain.push(c);
            }
        }
        lines.push(plain.trim_end().to_owned());
    }
    lines
}

#[test]
fn a_terminal_sees_how_much_is_done_of_all() {
    let deployment = Deployment::new(&things(6));
    let mut command = deployment.command(&["apply", "--parallel", "2"]);
    command.env("TERM", "xterm").env_remove("CI");
    let (code, seen) = on_terminal_of(&mut command, "", 100);
    assert_eq!(code, Some(0), "{seen}");
    let lines = drawn(&seen);
    let has = |what: &str| lines.iter().any(|line| line.contains(what));
    assert!(has("0 of 6 done") && has("2 of 6 done"), "{lines:#?}");
    assert!(has("6 created"), "{lines:#?}");
    // It is gone in the end, and had no colour.
    let last = lines.iter().rev().find(|line| !line.is_empty());
    assert!(
        last.is_some_and(|line| line.starts_with("Done in")),
        "{lines:#?}"
    );
    assert!(!seen.contains("\u{1b}[2m"), "{seen:?}");
}

#[test]
fn a_narrow_terminal_sees_it_on_one_line() {
    let deployment = Deployment::new(&things(4));
    let mut command = deployment.command(&["apply", "--parallel", "2"]);
    command.env("TERM", "xterm").env_remove("CI");
    let (code, seen) = on_terminal_of(&mut command, "", 24);
    assert_eq!(code, Some(0), "{seen}");
    let lines = drawn(&seen);
    assert!(lines.iter().any(|line| line.contains("0/4")), "{lines:#?}");
    // What fills a line goes on in the next one without a line end.
    let live = lines.iter().flat_map(|line| line.split(SPINNERS).skip(1));
    for line in live {
        assert!(line.trim_end().chars().count() < 24, "{line:?}");
    }
}

#[test]
fn without_a_terminal_there_is_no_line_that_is_drawn_again() {
    let deployment = Deployment::new(&things(3));
    let told = deployment
        .run(&["apply"])
        .expect(0)
        .never_says(" of 3 done");
    assert!(!told.stdout.contains(['\u{1b}', '\r']), "{:?}", told.stdout);
}

//! What processes say on stderr.

use std::sync::{Arc, Mutex};

use nixops4_protocol::client::{Provider, StderrSink};

use super::{CREATED, LIMIT, create, shell, wait_until};

/// The label and the line of everything that came on stderr.
#[derive(Clone, Default)]
pub(super) struct Heard(Arc<Mutex<Vec<(String, String)>>>);

impl Heard {
    pub(super) fn sink(&self) -> StderrSink {
        let heard = Arc::clone(&self.0);
        Arc::new(move |label, line| {
            heard
                .lock()
                .unwrap()
                .push((label.to_owned(), line.to_owned()));
        })
    }

    fn lines(&self) -> Vec<(String, String)> {
        self.0.lock().unwrap().clone()
    }

    async fn wait_for(&self, count: usize) -> Vec<(String, String)> {
        wait_until("lines on stderr", || self.lines().len() >= count).await;
        self.lines()
    }
}

#[tokio::test]
async fn stderr_is_passed_on_line_by_line_with_the_label_of_the_moment() {
    let heard = Heard::default();
    let script = format!(
        r"
        read -r line
        echo one >&2; echo >&2; printf 'caf\351\n' >&2
        {CREATED}
        read -r line
        echo two >&2
        {CREATED}
        read -r line
        printf 'no line end' >&2
        "
    );
    let mut provider = Provider::spawn(&shell(&script), "first", heard.sink()).unwrap();
    create(&mut provider, LIMIT).await.unwrap();
    heard.wait_for(3).await;
    provider.set_label("second");
    create(&mut provider, LIMIT).await.unwrap();
    heard.wait_for(4).await;
    provider.close(LIMIT).await.unwrap();
    // All of it is there once the provider is closed.
    let lines: Vec<_> = heard
        .lines()
        .into_iter()
        .map(|(label, line)| format!("{label}: {line}"))
        .collect();
    assert_eq!(
        lines,
        [
            "first: one",
            "first: ",
            "first: caf\u{fffd}",
            "second: two",
            "second: no line end"
        ]
    );
}

#[tokio::test]
async fn a_flood_on_stderr_stops_nothing_and_long_lines_are_cut() {
    let heard = Heard::default();
    let script = format!(
        r"
        read -r line
        head -c 3000000 /dev/zero | tr '\0' x >&2; echo >&2
        head -c 300000 /dev/zero | tr '\0' '\n' >&2
        {CREATED}
        "
    );
    let mut provider = Provider::spawn(&shell(&script), "app", heard.sink()).unwrap();
    create(&mut provider, LIMIT).await.unwrap();
    let lines = heard.wait_for(300_001).await;
    assert_eq!(lines.len(), 300_001);
    assert_eq!(lines[0].1.len(), (16 << 10) + " [cut]".len());
    assert!(lines[0].1.ends_with("x [cut]"));
}

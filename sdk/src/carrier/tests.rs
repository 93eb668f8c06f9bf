//! One table for all carriers: what holds of one holds of each.

use std::collections::BTreeMap;
use std::fmt::Debug;

use proptest::prelude::*;

use super::*;
use crate::mark::DeploymentName;

fn mark(deployment: &str) -> Mark {
    let deployment = DeploymentName::try_from(deployment.to_owned()).unwrap();
    Mark::new(deployment, "test_thing")
}

/// What a server keeps, and which deployment's mark is in it.
type Row<K> = (K, Option<&'static str>);

fn text(text: &str) -> String {
    text.to_owned()
}

fn values(values: &[&str]) -> Vec<String> {
    values.iter().copied().map(text).collect()
}

const LINE: &str = "nixops4-resources: owner=shop";

fn comments() -> Vec<Row<String>> {
    vec![
        (text(""), None),
        (text("the mail server's"), None),
        (text("nixops4-resources: a note"), None),
        (text("see nixops4-resources: owner=shop"), None),
        (text("nixops4-resources: owner=shop owner=other"), None),
        (text(LINE), Some("shop")),
        (format!("one\r\n{LINE}\ntwo\n\n"), Some("shop")),
        (format!("{LINE} shape=round\n\n"), Some("shop")),
        // The first one decides, and the other goes with it.
        (
            format!("{LINE}\nnixops4-resources: owner=other"),
            Some("shop"),
        ),
    ]
}

fn names() -> Vec<Row<String>> {
    vec![
        (text(""), None),
        (text("media"), None),
        (text("media [old]"), None),
        (text("media [nixops4-resources:]"), None),
        (text("media [nixops4-resources: owner=shop"), None),
        (text("media[nixops4-resources: owner=shop]"), None),
        (text("media [nixops4-resources: owner=shop owner=a]"), None),
        (text("media [x\nnixops4-resources: owner=shop]"), None),
        // A name that is nothing but a mark is not a marked name.
        (text(LINE), None),
        (format!("media [{LINE}]"), Some("shop")),
        (format!("media [old] [{LINE}]"), Some("shop")),
        (
            format!("media [{LINE} generation=3 making=GK1]"),
            Some("shop"),
        ),
    ]
}

fn value_sets() -> Vec<Row<Vec<String>>> {
    vec![
        (values(&[]), None),
        (values(&["v=spf1 -all", "the mail server's"]), None),
        (values(&["nixops4-resources: owner=shop owner=other"]), None),
        (values(&["one\nnixops4-resources: owner=shop"]), None),
        (values(&[LINE]), Some("shop")),
        (values(&["v=spf1 -all", LINE, "z"]), Some("shop")),
        (values(&[LINE, LINE]), Some("shop")),
        // Nobody can say which of the two came first.
        (values(&[LINE, "nixops4-resources: owner=other"]), None),
    ]
}

/// What has to hold of every carrier. `others` gives what others have there.
fn holds<C: Carrier + Clone + PartialEq + Debug>(
    rows: &[Row<<C::Kept as ToOwned>::Owned>],
    others: impl Fn(&C) -> Vec<String>,
) where
    <C::Kept as ToOwned>::Owned: Debug + PartialEq,
{
    use std::borrow::Borrow as _;
    for (kept, whose) in rows {
        let read = C::read(kept.borrow());
        let owner = read.mark().map(|mark| mark.deployment.as_str());
        assert_eq!(owner, *whose, "{kept:?}");
        assert_eq!(read.ownership().mark(), read.mark(), "{kept:?}");
        // What was read is what is written, but for what means nothing.
        let again = C::read(read.write().borrow());
        assert_eq!(again, read, "{kept:?}");
        assert_eq!(C::read(again.write().borrow()), read, "{kept:?}");

        for new in [mark("shop"), mark("other"), mark("shop").retained_now()] {
            let marked = read.clone().with_mark(Some(new.clone()));
            let found = C::read(marked.write().borrow());
            assert_eq!(found.mark(), Some(&new), "{kept:?}");
            assert_eq!(others(&found), others(&read), "{kept:?}");
            assert_eq!(
                found.ownership().is_retained(),
                new.retained_since.is_some()
            );
            assert_eq!(
                found.is_of_same(&mark("shop")),
                new.is_of_same(&mark("shop"))
            );
            assert!(C::is_forged(marked.write().borrow()), "{kept:?}");
            // Another mark takes its place, and nothing is left of either.
            let replaced = found.with_mark(Some(mark("third")));
            assert_eq!(
                C::read(replaced.write().borrow()).mark(),
                Some(&mark("third"))
            );
            let removed = replaced.with_mark(None).write();
            let removed = C::read(removed.borrow());
            assert_eq!((removed.mark(), others(&removed)), (None, others(&read)));
        }
    }
}

#[test]
fn every_carrier_keeps_the_mark_and_the_text_of_others() {
    holds::<Comment>(&comments(), |comment| vec![comment.text.clone()]);
    holds::<MarkedName>(&names(), |name| vec![name.name.clone()]);
    holds::<Beside>(&value_sets(), |beside| beside.others.clone());
}

#[test]
fn notes_stay_behind_the_mark() {
    let name = MarkedName::read("media [nixops4-resources: owner=shop generation=3 making=GK1]");
    assert_eq!(name.note("generation"), Some("3"));
    assert_eq!(name.note("making"), Some("GK1"));
    assert_eq!(name.note("owner"), None);
    let marked = name.with_mark(Some(mark("other"))).write();
    assert!(marked.ends_with(" generation=3 making=GK1]"), "{marked}");
}

#[test]
fn comments_that_an_author_can_write() {
    Comment::validate(None).unwrap();
    Comment::validate(Some("it's\nfine")).unwrap();
    for (comment, problem) in [(format!("a\n{LINE}"), "mark"), (text("a\0"), "NUL")] {
        let error = Comment::validate(Some(&comment)).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
}

/// A server without comments: things by name, and beside each under a name of its own
/// values that anybody may add to, as a zone has TXT records.
#[derive(Default)]
struct Zone {
    records: BTreeMap<String, String>,
    beside: BTreeMap<String, Vec<String>>,
}

impl Zone {
    fn read(&self, name: &str) -> Beside {
        Beside::read(self.beside.get(name).map(Vec::as_slice).unwrap_or_default())
    }

    fn write(&mut self, name: &str, carrier: &Beside) {
        match carrier.write() {
            values if values.is_empty() => drop(self.beside.remove(name)),
            values => drop(self.beside.insert(name.to_owned(), values)),
        }
    }
}

#[test]
fn beside_a_thing() {
    let mut zone = Zone::default();
    // The mark comes first: a record without one would be anybody's.
    zone.write("www", &zone.read("www").with_mark(Some(mark("shop"))));
    zone.records.insert(text("www"), text("192.0.2.1"));
    assert!(zone.read("www").is_of_same(&mark("shop")));
    assert_eq!(zone.read("mail").ownership(), Ownership::Unmarked);

    zone.beside
        .get_mut("www")
        .unwrap()
        .push(text("checked by Ann"));
    zone.write(
        "www",
        &zone
            .read("www")
            .with_mark(Some(mark("shop").retained_now())),
    );
    assert!(zone.read("www").ownership().is_retained());
    assert_eq!(zone.read("www").others, ["checked by Ann"]);

    // Somebody adds a mark of their own: it is nobody's until it is adopted.
    zone.beside
        .get_mut("www")
        .unwrap()
        .push(mark("other").to_string());
    assert_eq!(zone.read("www").ownership(), Ownership::Unmarked);
    zone.write("www", &zone.read("www").with_mark(Some(mark("shop"))));
    assert!(zone.read("www").is_of_same(&mark("shop")));

    zone.records.remove("www");
    zone.write("www", &zone.read("www").with_mark(None));
    assert_eq!(zone.beside["www"], ["checked by Ann"]);
}

proptest! {
    #[test]
    fn any_name_comes_back(
        name in "\\PC{1,40}",
        marked: bool,
        generation in proptest::option::of(1..9_u32),
    ) {
        prop_assume!(!MarkedName::is_forged(&name));
        let notes = generation.filter(|_| marked).map(|number| (text("generation"), number.to_string()));
        let marked = MarkedName {
            name,
            mark: marked.then(|| mark("shop")),
            notes: notes.into_iter().collect(),
        };
        prop_assert_eq!(MarkedName::read(&marked.write()), marked);
    }

    #[test]
    fn any_comment_keeps_the_lines_of_others(lines in proptest::collection::vec("\\PC{0,20}", 0..4)) {
        let comment = lines.join("\n");
        prop_assume!(!Comment::is_forged(&comment));
        let read = Comment::read(&comment);
        let marked = Comment::read(&read.clone().with_mark(Some(mark("shop"))).write());
        prop_assert_eq!(marked.text, read.text);
    }
}

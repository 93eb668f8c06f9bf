use nixops4_provider_sdk::Owner;
use proptest::prelude::*;

use super::*;

fn mark() -> Mark {
    Mark::new(Owner::try_from("shop".to_owned()).unwrap(), "garage_key")
}

#[test]
fn what_has_a_mark() {
    let title = Title::read("media [nixops4-resources: owner=shop type=garage_key generation=3]");
    assert_eq!((title.name.as_str(), title.generation), ("media", Some(3)));
    assert_eq!(title.mark.unwrap().owner.as_str(), "shop");
    assert_eq!(title.making, None);
    // Brackets of people's own.
    let title = Title::read("media [old] [nixops4-resources: owner=shop making=GK1]");
    assert_eq!(title.name, "media [old]");
    assert_eq!(title.making.as_deref(), Some("GK1"));
}

#[test]
fn what_has_none() {
    for text in [
        "",
        "media",
        "media [old]",
        "media [nixops4-resources: owner=shop",
        "media[nixops4-resources: owner=shop]",
        "media [nixops4-resources:]",
        "media [nixops4-resources: owner=shop owner=other]",
        "media [x\nnixops4-resources: owner=shop]",
        // The key that stands for an owner is no key of anybody's.
        "nixops4-resources: owner=shop type=garage_bucket",
    ] {
        let title = Title::read(text);
        assert_eq!((title.name.as_str(), title.mark), (text, None));
    }
}

#[test]
fn names_of_authors() {
    let name = |text: &str| Name::try_from(text.to_owned());
    for good in ["media", "media of the shop", "médias [1]", &"x".repeat(100)] {
        assert!(name(good).is_ok(), "{good}");
    }
    for (bad, problem) in [
        ("", "1 to 100"),
        (&*"x".repeat(101), "1 to 100"),
        ("a\nb", "one line"),
        (" a", "no space"),
        ("a [nixops4-resources: owner=shop]", "our own mark"),
    ] {
        assert!(name(bad).unwrap_err().contains(problem), "{bad}");
    }
}

#[test]
fn who_is_kin() {
    let title = |name: &str, mark: Option<Mark>| Title {
        name: name.to_owned(),
        mark,
        generation: Some(1),
        making: None,
    };
    let ours = title("media", Some(mark()));
    let older = Title {
        generation: Some(7),
        ..ours.clone()
    };
    let retired = title("media", Some(mark().retained_now()));
    assert!(ours.is_kin(&older) && ours.is_kin(&retired));
    assert!(!ours.is_kin(&title("other", Some(mark()))));
    assert!(!ours.is_kin(&title("media", None)) && !title("media", None).is_kin(&ours));
    let theirs = Mark::new(Owner::try_from("other".to_owned()).unwrap(), "garage_key");
    assert!(!ours.is_kin(&title("media", Some(theirs))));
}

proptest! {
    #[test]
    fn round_trip(
        name in "\\PC{1,40}",
        marked: bool,
        generation in proptest::option::of(1..9_u32),
        making in proptest::option::of("[A-Za-z0-9]{1,9}"),
    ) {
        prop_assume!(Name::try_from(name.clone()).is_ok());
        let title = Title {
            name,
            mark: marked.then(mark),
            generation: generation.filter(|_| marked),
            making: making.filter(|_| marked),
        };
        prop_assert_eq!(Title::read(&title.to_string()), title);
    }
}

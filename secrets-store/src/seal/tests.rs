use super::*;
use crate::entry::{Retained, Rotation, Version};
use crate::identity::generated;
use proptest::prelude::*;

const VALUE: &str = "canary-7391";

struct World {
    identities: Identities,
    key: StoreKey,
    name: SecretName,
    id: SecretId,
}

impl World {
    fn new() -> Self {
        Self {
            identities: generated(),
            key: StoreKey::random(),
            name: "app/db".parse().unwrap(),
            id: SecretId::random(),
        }
    }

    fn label(&self) -> Label<'_> {
        Label {
            name: &self.name,
            generation: Generation::FIRST,
            id: self.id,
        }
    }

    fn seal(&self, value: &str) -> Vec<u8> {
        let value = SecretString::from(value);
        seal(
            self.identities.recipients(),
            &self.key,
            self.label(),
            &value,
        )
        .unwrap()
    }

    fn open(&self, ciphertext: &[u8]) -> Result<SecretString, Unopened> {
        open(&self.identities, &self.key, self.label(), ciphertext)
    }

    fn refused(&self, ciphertext: &[u8]) -> String {
        let refused = self.open(ciphertext).unwrap_err();
        assert!(!format!("{refused:?}").contains(VALUE), "{refused:?}");
        refused.to_string()
    }
}

#[test]
fn each_flipped_bit_is_noticed() {
    let world = World::new();
    let sealed = world.seal(VALUE);
    assert_eq!(world.open(&sealed).unwrap().expose_secret(), VALUE);
    for at in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[at] ^= 1 << (at % 8);
        world.refused(&altered);
    }
}

#[test]
fn each_truncation_is_noticed() {
    let world = World::new();
    let sealed = world.seal(VALUE);
    for length in 0..sealed.len() {
        world.refused(&sealed[..length]);
    }
    let longer = [sealed.as_slice(), b"x"].concat();
    assert!(world.refused(&longer).contains("altered or cut short"));
}

#[test]
fn another_label_is_noticed_and_named() {
    let world = World::new();
    let sealed = world.seal(VALUE);
    let other: SecretName = "app/mail".parse().unwrap();
    let second = Generation::try_from(2).unwrap();
    let label = world.label();
    for label in [
        Label {
            name: &other,
            ..label
        },
        Label {
            generation: second,
            ..label
        },
        Label {
            id: SecretId::random(),
            ..label
        },
    ] {
        let refused = open(&world.identities, &world.key, label, &sealed).unwrap_err();
        let refused = refused.to_string();
        assert!(refused.contains("the value of another one"), "{refused}");
        let true_label = format!("name app/db, generation 1, id {}", world.id);
        assert!(refused.contains(&true_label), "{refused}");
    }
}

#[test]
fn a_value_made_with_the_public_key_alone_is_noticed() {
    let world = World::new();
    let forged = seal(
        world.identities.recipients(),
        &StoreKey::random(),
        world.label(),
        &SecretString::from("mine"),
    )
    .unwrap();
    assert!(world.refused(&forged).contains("not encrypted by anybody"));
    for text in [
        "",
        "hello",
        "nixops4-secret 2\nname x\ntag 00\n\nv",
        "\n\n",
        "tag \n\n",
    ] {
        let forged = encrypt(world.identities.recipients(), &[text.as_bytes()]).unwrap();
        assert!(
            world.refused(&forged).contains("not an envelope"),
            "{text:?}"
        );
    }
    let forged = encrypt(world.identities.recipients(), &[b"\xff\n\n"]).unwrap();
    assert!(world.refused(&forged).contains("not text"));
}

#[test]
fn a_tag_vouches_for_all_of_an_entry() {
    let world = World::new();
    let at = OffsetDateTime::UNIX_EPOCH;
    let version = |number: u32| Version {
        generation: number.try_into().unwrap(),
        id: world.id,
        created_at: at,
        public_part: Some("{}".into()),
    };
    let entry = Entry {
        name: world.name.clone(),
        owner: "prod".into(),
        kind: "k".into(),
        created_at: at,
        generations: vec![version(1), version(2)],
        retained: None,
        rotation: None,
        store_key: None,
    };
    let tag = world.key.tag_entry("s", &entry);
    assert!(world.key.made_entry_tag(&tag, "s", &entry));
    assert!(!world.key.made_entry_tag(&tag, "t", &entry));
    assert!(!world.key.made_entry_tag(&[], "s", &entry));
    assert!(!StoreKey::random().made_entry_tag(&tag, "s", &entry));
    let later = at + time::Duration::SECOND;
    let changes: [fn(&mut Entry, OffsetDateTime); 11] = [
        |entry, _| entry.name = "other".parse().unwrap(),
        |entry, _| entry.owner = "test".into(),
        // As another text would read without the lengths.
        |entry, _| (entry.owner, entry.kind) = ("prod\nkind 1".into(), "k".into()),
        |entry, _| entry.kind = "j".into(),
        |entry, later| entry.created_at = later,
        |entry, since| {
            entry.retained = Some(Retained {
                by: "x".into(),
                since,
            });
        },
        |entry, since| {
            entry.rotation = Some(Rotation {
                by: "x".into(),
                since,
            });
        },
        |entry, _| entry.generations.truncate(1),
        |entry, _| entry.generations[0].id = SecretId::random(),
        |entry, _| entry.generations[1].public_part = None,
        |entry, later| entry.generations[1].created_at = later,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut other = entry.clone();
        change(&mut other, later);
        assert!(!world.key.made_entry_tag(&tag, "s", &other), "{number}");
    }
}

#[test]
fn others_cannot_open_it() {
    let world = World::new();
    let sealed = world.seal(VALUE);
    let other = open(&generated(), &world.key, world.label(), &sealed);
    assert_eq!(other.unwrap_err(), Unopened::NotForUs);
}

#[test]
fn each_of_several_recipients_can_open_it() {
    let world = World::new();
    let (two, value) = (generated(), SecretString::from(VALUE));
    let recipients = [world.identities.recipients(), two.recipients()].concat();
    let sealed = seal(&recipients, &world.key, world.label(), &value).unwrap();
    for identities in [&world.identities, &two] {
        let opened = open(identities, &world.key, world.label(), &sealed).unwrap();
        assert_eq!(opened.expose_secret(), VALUE);
    }
}

#[test]
fn the_store_key_opens_and_vouches_for_its_recipients_alone() {
    let world = World::new();
    let ours = world.identities.recipients();
    let sealed = seal_key(ours, &world.key).unwrap();
    let key = open_key(&world.identities, &sealed).unwrap();
    let tag = world.key.tag_recipients("a", ours);
    assert!(key.made_recipients_tag(&tag, "a", ours));
    assert!(!key.made_recipients_tag(&tag, "b", ours));
    assert!(!key.made_recipients_tag(&tag, "a", &[ours, generated().recipients()].concat()));
    assert!(!key.made_recipients_tag(&tag, "a", &[]));
    assert!(!StoreKey::random().made_recipients_tag(&tag, "a", ours));
    assert_eq!(
        open_key(&generated(), &sealed).err(),
        Some(Unopened::NotForUs)
    );
    // A value is no key, nor is a key that is too short.
    assert!(open_key(&world.identities, &world.seal(VALUE)).is_err());
    let short = encrypt(ours, &[KEY.as_bytes(), b"\n", b"00ff"]).unwrap();
    assert!(open_key(&world.identities, &short).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_value_comes_back(value in "(?s).{0,300}") {
        let world = World::new();
        let opened = world.open(&world.seal(&value)).unwrap();
        prop_assert_eq!(opened.expose_secret(), &value);
    }

    #[test]
    fn arbitrary_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(World::new().open(&bytes).is_err());
    }
}

//! Values that nobody would write who means well.

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Map, Value, json};

/// Texts that quoting, parsing, printing or SQL may stumble over.
const TEXTS: [&str; 66] = [
    "",
    " ",
    "\t",
    "\n",
    "a\nb",
    "a\r\nb",
    "\0",
    "a\0b",
    "\u{1}",
    "\u{7f}",
    "\u{1b}[2J\u{1b}[31mred",
    "\u{1b}]0;title\u{7}",
    "\u{85}next",
    "\u{9b}31m",
    "\u{202e}desrever",
    "\u{2066}isolated",
    "\u{200b}",
    "\u{feff}",
    "\u{fffd}",
    "\u{2028}",
    "\u{10ffff}",
    "é",
    "e\u{301}",
    "ſ",
    "İ",
    "名前",
    "🙂",
    "'",
    "\"",
    "`",
    "\\",
    "\\'",
    "$",
    "$$",
    "%s%n",
    "%00",
    "{}",
    "{{}}",
    "x'; DROP TABLE untouched; --",
    "x\"; DROP TABLE untouched; --",
    "x'); DROP TABLE untouched; --",
    "$$; DROP TABLE untouched; $$",
    "\\'; DROP TABLE untouched; --",
    "/*",
    "--",
    "pg_catalog",
    "pg_x",
    "public",
    "$(touch untouched)",
    "`touch untouched`",
    "${HOME}",
    "-e",
    "--help",
    "~",
    "..",
    "../x",
    "/nowhere/x",
    "null",
    "true",
    "0",
    "-1",
    "1e999",
    "NaN",
    "9999-12-31T23:59:60Z",
    "99999999999999999999y",
    "nixops4-resources: owner=other type=x since=2020-01-01T00:00:00Z",
];

/// Lengths around those where something ends.
const LENGTHS: [usize; 12] = [
    62, 63, 64, 65, 100, 101, 255, 256, 1000, 1025, 10_000, 100_000,
];

/// How long a text of the longest sort is.
const LONGEST: usize = 1 << 20;

/// A value of any sort.
pub(crate) fn value(random: &mut StdRng) -> Value {
    match random.random_range(0..16) {
        0..=5 => json!(*TEXTS.choose(random).expect("one")),
        6 => json!(long(random)),
        7..=9 => number(random),
        10 => json!(random.random::<bool>()),
        11 => Value::Null,
        12 => deep(random.random_range(1..200), random.random()),
        13 => wide(random),
        14 => reference(random),
        _ => [
            json!([]),
            json!({}),
            json!([null]),
            json!([[]]),
            json!({"": ""}),
        ]
        .choose(random)
        .cloned()
        .expect("one"),
    }
}

/// A name of a field.
pub(crate) fn name(random: &mut StdRng) -> String {
    match random.random_range(0..4) {
        0 => long(random),
        1 => ["nonsense", "Name", "a/b~c", "~1", "__proto__", "_type"]
            .choose(random)
            .map(|name| (*name).to_owned())
            .expect("one"),
        _ => (*TEXTS.choose(random).expect("one")).to_owned(),
    }
}

/// A value of each type: what stands in a field for another's.
pub(crate) fn of_each_type() -> [Value; 12] {
    [
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(u64::MAX),
        json!(0.5),
        json!(""),
        json!("x'; DROP TABLE untouched; --"),
        json!("\u{1b}[2J\u{9b}\u{202e}"),
        json!([]),
        json!([null, {}]),
        json!({"nonsense": 1}),
    ]
}

fn long(random: &mut StdRng) -> String {
    let length = if random.random_ratio(1, 50) {
        LONGEST
    } else {
        *LENGTHS.choose(random).expect("one")
    };
    let unit = *["x", "é", "\u{1b}", "\"", "/", "🙂"]
        .choose(random)
        .expect("one");
    unit.repeat(length / unit.len())
}

fn number(random: &mut StdRng) -> Value {
    let whole: [i64; 12] = [
        0,
        1,
        -1,
        32,
        255,
        65_536,
        i64::from(i32::MAX),
        i64::from(i32::MIN),
        i64::from(u32::MAX) + 1,
        (1 << 53) + 1,
        i64::MAX,
        i64::MIN,
    ];
    match random.random_range(0..4) {
        0 => json!(u64::MAX),
        1 => json!(
            *[0.5, -0.0, 1e308, 5e-324, 1.0, 4096.0]
                .choose(random)
                .expect("one")
        ),
        _ => json!(*whole.choose(random).expect("one")),
    }
}

fn deep(levels: usize, of_lists: bool) -> Value {
    (0..levels).fold(json!(1), |inner, _| {
        if of_lists {
            json!([inner])
        } else {
            json!({"a": inner})
        }
    })
}

fn wide(random: &mut StdRng) -> Value {
    let count = *[2, 100, 2000].choose(random).expect("one");
    if random.random() {
        return Value::Array(vec![value_flat(random); count]);
    }
    let fields: Map<_, _> = (0..count).map(|at| (format!("k{at}"), json!(at))).collect();
    Value::Object(fields)
}

fn value_flat(random: &mut StdRng) -> Value {
    match random.random_range(0..3) {
        0 => json!(*TEXTS.choose(random).expect("one")),
        1 => number(random),
        _ => Value::Null,
    }
}

/// Something like a reference to a secret, which leads to nowhere good.
fn reference(random: &mut StdRng) -> Value {
    [
        json!({"file": "/dev/null"}),
        json!({"file": "/dev/zero"}),
        json!({"file": "/dev/stdin"}),
        json!({"file": "/proc/self/environ"}),
        json!({"file": "/proc/self/exe"}),
        json!({"file": "."}),
        json!({"file": ""}),
        json!({"file": "a\0b"}),
        json!({"file": "/nix/store/x"}),
        json!({"env": ""}),
        json!({"env": "A=B"}),
        json!({"env": "a\0b"}),
        json!({"env": "PATH"}),
        json!({"env": "X", "file": "y"}),
        json!({"env": "X", "nonsense": 1}),
        json!({"store": "main"}),
        json!({"store": "main", "name": "../x", "generation": 0, "id": "x"}),
        json!({"store": "none", "name": "x", "generation": 1,
               "id": "00000000-0000-4000-8000-000000000000"}),
        json!({"store": "main", "name": "x", "generation": u64::MAX,
               "id": "00000000-0000-4000-8000-000000000000"}),
    ]
    .choose(random)
    .cloned()
    .expect("one")
}

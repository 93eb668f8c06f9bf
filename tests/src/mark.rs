//! Comments that carry a mark, for comparing.

/// The comment with its marks cut down to their owner and whether they are
/// retained: types and times are left out.
#[must_use]
pub fn without_details(comment: &str) -> String {
    let shorten = |line: &str| {
        if !line.starts_with("nixops4-resources:") {
            return line.to_owned();
        }
        let words: Vec<_> = line
            .split(' ')
            .filter(|word| !word.starts_with("type=") && !word.starts_with("since="))
            .map(|word| {
                word.split_once("since=")
                    .map_or(word, |(retained, _)| retained)
            })
            .collect();
        words.join(" ")
    };
    comment.lines().map(shorten).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_is_left_of_a_mark() {
    let comment = "for us type=x\nnixops4-resources: owner=a type=b since=c retained-since=d";
    let expected = "for us type=x\nnixops4-resources: owner=a retained-";
    assert_eq!(without_details(comment), expected);
}

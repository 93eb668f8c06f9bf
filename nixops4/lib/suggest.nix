# "did you mean": the known names that are closest to a mistyped one.
let
  inherit (builtins)
    concatStringsSep
    elemAt
    filter
    foldl'
    genList
    head
    length
    stringLength
    substring
    ;

  min = a: b: if a < b then a else b;
  max = a: b: if a > b then a else b;

  characters = text: genList (index: substring index 1 text) (stringLength text);

  # Levenshtein distance in bytes, row by row.
  distance =
    from: to:
    let
      columns = characters to;
      width = length columns;
      nextRow =
        row: character:
        foldl' (
          cells: column:
          cells
          ++ [
            (min (min (elemAt row (column + 1) + 1) (elemAt cells column + 1)) (
              elemAt row column + (if elemAt columns column == character then 0 else 1)
            ))
          ]
        ) [ (head row + 1) ] (genList (column: column) width);
    in
    elemAt (foldl' nextRow (genList (column: column) (width + 1)) (characters from)) width;

  sorted = text: builtins.sort (a: b: a < b) (characters text);

  # Letters in the wrong order are one slip, however many moves they take.
  difference = from: to: if sorted from == sorted to then 1 else distance from to;

  # Names within a third of the length, at least 1: none, or all the nearest.
  nearest =
    known: name:
    let
      measured = map (candidate: {
        inherit candidate;
        distance = difference name candidate;
      }) known;
      limit = max 1 (stringLength name / 3);
      best = foldl' (least: entry: min least entry.distance) (limit + 1) measured;
    in
    map (entry: entry.candidate) (
      filter (entry: entry.distance == best && entry.distance <= limit) measured
    );

  list = names: if names == [ ] then "none" else concatStringsSep ", " names;
in
{
  inherit list;

  # "did you mean `password`? known: name, password", or without the question.
  suggest =
    known: name:
    let
      near = nearest known name;
    in
    (if near == [ ] then "" else "did you mean ${concatStringsSep " or " (map (n: "`${n}`") near)}? ")
    + "known: ${list known}";
}

# Plays the part of the evaluator: gives a root the outputs that it asks for.
#
#   run root { "guestbook.role" = { name = "guestbook"; }; }
#
# An output that the table lacks throws, as it does before the member exists.
# What may be asked for follows from the root's own answer, so `run` ties the
# same knot as upstream.
let
  inherit (builtins) concatStringsSep mapAttrs;

  valuesOf =
    table: path: export:
    mapAttrs (
      name: member:
      let
        here = path ++ [ name ];
        at = concatStringsSep "." here;
      in
      if member ? resource then
        mapAttrs (
          output: _: table.${at}.${output} or (throw "not known yet: ${at}.${output}")
        ) member.resource.outputsSkeleton
      else
        valuesOf table here member
    ) export.members;
in
{
  run =
    root: table:
    assert root._type == "nixops4Component";
    let
      export = root.rootFunction {
        resourceProviderSystem = "x86_64-linux";
        outputValues = valuesOf table [ ] export;
      };
    in
    export;

  # A value, or the mark of one that throws. Looks one level deep into sets.
  tried =
    value:
    let
      result = builtins.tryEval (builtins.deepSeq value value);
    in
    if result.success then result.value else "<throws>";
}

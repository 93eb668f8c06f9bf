# A root with many members, to measure with: a state and `count` roles, each a
# member of the one before.
{ count }:
let
  inherit (builtins) genList listToAttrs;
  inherit (import ./fixpoint.nix) run;

  name = index: "role${toString index}";

  root =
    (import ../../default.nix).lib.mkRoot
      {
        name = "demo";
        schemas = ./fixtures/schemas;
      }
      (
        { members, providers, ... }:
        {
          state = members.state;
          members = {
            state = {
              type = providers.state.sqlite;
              inputs.path = "/state";
            };
          }
          // listToAttrs (
            genList (index: {
              name = name index;
              value = {
                type = providers.postgresql.role;
                inputs = {
                  name = name index;
                  connection.host = "db.example.org";
                  memberOf = if index == 0 then [ ] else [ members.${name (index - 1)}.outputs.name ];
                };
              };
            }) count
          );
        }
      );

  table = listToAttrs (
    genList (index: {
      name = name index;
      value = {
        name = name index;
        oid = index;
      };
    }) count
  );
in
{
  inherit root;
  export = run root table;
}

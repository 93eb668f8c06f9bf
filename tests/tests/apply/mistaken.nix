# Mistakes that no schema tells of: two members that are one role, and two that wait for
# each other.
let
  nixops4-resources = import ../../../nixops4/lib/root.nix;
  settings = import ./settings.nix;
in
nixops4-resources.mkRoot { name = "mistaken"; } (
  { members, providers, ... }:
  let
    role = name: memberOf: {
      type = providers.postgresql.role;
      inputs = {
        inherit (settings) connection;
        inherit name memberOf;
        login = false;
      };
    };
  in
  {
    state = members.state;
    members = {
      state = {
        type = providers.state.sqlite;
        inputs.path = settings.statePath;
      };
      hen = role "hen" [ members.egg.outputs.name ];
      egg = role "egg" [ members.hen.outputs.name ];
      role = role "shop" [ ];
      twin = role "shop" [ ];
    };
  }
)

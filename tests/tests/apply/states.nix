# Some roles, recorded in a state of the kind that STATE names.
let
  nixops4-resources = import ../../../nixops4/lib/root.nix;
  settings = import ./settings.nix;
in
nixops4-resources.mkRoot { name = "states"; } (
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
    kinds = import ./kinds.nix settings providers;
  in
  {
    state = members.state;
    members = {
      state = kinds.${builtins.getEnv "STATE"};
      hub = role "hub" [ ];
      web.members.a = role "a" [ members.hub.outputs.name ];
      web.members.b = role "b" [ members.hub.outputs.name ];
      mail.members.c = role "c" [ members.hub.outputs.name ];
    };
  }
)

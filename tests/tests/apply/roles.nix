# As many roles as ROLES says, recorded in one state.
let
  nixops4-resources = import ../../../nixops4/lib/root.nix;
  settings = import ./settings.nix;
  count = builtins.fromJSON (builtins.getEnv "ROLES");
in
nixops4-resources.mkRoot { name = "roles"; } (
  { members, providers, ... }:
  {
    state = members.state;
    members = {
      state = {
        type = providers.state.sqlite;
        inputs.path = settings.statePath;
      };
      hub = {
        type = providers.postgresql.role;
        inputs = {
          inherit (settings) connection;
          name = "hub";
          login = false;
        };
      };
    }
    // builtins.listToAttrs (
      builtins.genList (number: {
        name = "role${toString number}";
        value = {
          type = providers.postgresql.role;
          inputs = {
            inherit (settings) connection;
            name = "role${toString number}";
            memberOf = [ members.hub.outputs.name ];
          };
        };
      }) count
    );
  }
)

# Roles on a server whose port is DEMO_PORT's; STEP 2 has one less.
let
  nixops4-resources = import ../../../nixops4/lib/root.nix;
  settings = import ./settings.nix;
  role = providers: name: {
    inherit name;
    value = {
      type = providers.postgresql.role;
      inputs = {
        inherit (settings) connection;
        inherit name;
        deletionPolicy = "delete";
      };
    };
  };
  names = [
    "stays"
    "goes"
  ]
  ++ (if builtins.getEnv "STEP" == "1" then [ "left" ] else [ ]);
in
nixops4-resources.mkRoot { name = "moved"; } (
  { members, providers, ... }:
  {
    state = members.state;
    members = {
      state = {
        type = providers.state.sqlite;
        inputs.path = settings.statePath;
      };
    }
    // builtins.listToAttrs (map (role providers) names);
  }
)

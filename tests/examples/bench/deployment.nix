# A state and `members` roles, each with a password, none of which needs another.
# BENCH_DEPLOYMENT names the file with the numbers and paths.
let
  settings = builtins.fromJSON (builtins.readFile (builtins.getEnv "BENCH_DEPLOYMENT"));

  role = providers: index: {
    name = "role${toString index}";
    value = {
      type = providers.postgresql.role;
      inputs = {
        inherit (settings) connection password;
        name = "bench_role_${toString index}";
        connectionLimit = 10;
      };
    };
  };
in
(import ../../../default.nix).lib.mkRoot { name = "bench"; } (
  { members, providers, ... }:
  {
    state = members.state;
    members = {
      state = {
        type = providers.state.sqlite;
        inputs.path = settings.state;
      };
    }
    // builtins.listToAttrs (builtins.genList (role providers) settings.members);
  }
)

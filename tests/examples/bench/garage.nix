# A state and `members` tenants of a Garage cluster: a bucket and a key each.
# BENCH_DEPLOYMENT names the file with the numbers and paths.
let
  settings = builtins.fromJSON (builtins.readFile (builtins.getEnv "BENCH_DEPLOYMENT"));

  tenant = providers: index: {
    name = "tenant${toString index}";
    value = {
      type = providers.garage.tenant;
      inputs = {
        inherit (settings) connection;
        name = "bench-tenant-${toString index}";
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
    // builtins.listToAttrs (builtins.genList (tenant providers) settings.members);
  }
)

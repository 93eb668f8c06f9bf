# Things in two databases and two stores; STEP 2 has lost one in each of the second.
let
  nixops4-resources = import ../../../nixops4/lib/root.nix;
  settings = import ./settings.nix;
  inherit (settings) connection;
  when = condition: set: if condition then set else { };
in
nixops4-resources.mkRoot { name = "orphans"; } (
  { members, providers, ... }:
  let
    database = name: {
      type = providers.postgresql.database;
      inputs = {
        inherit connection name;
        deletionPolicy = "delete";
      };
    };
    schema = name: database: {
      type = providers.postgresql.schema;
      inputs = {
        inherit connection name database;
        deletionPolicy = "delete";
      };
    };
    token = name: store: {
      type = providers.secrets.token;
      inputs = {
        inherit name store;
        deletionPolicy = "delete";
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
      one = database "one";
      two = database "two";
      kept = schema "kept" members.one.outputs.name;
      secret = token "secret" "main";
    }
    // when (builtins.getEnv "STEP" == "1") {
      lost = schema "lost" members.two.outputs.name;
      lostSecret = token "lost" "other";
      # The only one of its kind.
      role = {
        type = providers.postgresql.role;
        inputs = {
          inherit connection;
          name = "lonely";
        };
      };
    };
  }
)

# A deployment that changes with the years: STEP says which one it is.
let
  nixops4-resources = import ../../../nixops4/lib/root.nix;
  settings = import ./settings.nix;
  inherit (settings) connection;
  step = builtins.fromJSON (builtins.getEnv "STEP");
in
nixops4-resources.mkRoot { name = "year"; } (
  { members, providers, ... }:
  let
    role = inputs: {
      type = providers.postgresql.role;
      inputs = {
        inherit connection;
      }
      // inputs;
    };
    database = inputs: {
      type = providers.postgresql.database;
      inputs = {
        inherit connection;
      }
      // inputs;
    };
    when = condition: set: if condition then set else { };
  in
  {
    state = members.state;
    members = {
      state = {
        type = providers.state.sqlite;
        inputs.path = settings.statePath;
      };
      password = {
        type = providers.secrets.password;
        inputs = {
          inherit (settings) store;
          name = "shop/database";
          deletionPolicy = "delete";
        };
      };
      role = role {
        name = "shop";
        password = members.password.outputs.secret;
        connectionLimit = 20;
      };
    }
    // when (step < 3) {
      database = database {
        name = "shop";
        ownerRole = members.role.outputs.name;
      };
    }
    // when (step >= 3) {
      # The same database under another name of the member.
      shop = database {
        name = "shop";
        ownerRole = members.role.outputs.name;
      };
    }
    // when (step < 2) {
      archive = database {
        name = "shop_archive";
        ownerRole = members.clerk.outputs.name;
        deletionPolicy = "delete";
      };
      clerk = role {
        name = "clerk";
        login = false;
      };
    }
    // when (step >= 4) {
      legacy = role {
        name = "legacy";
        login = false;
        connectionLimit = 7;
        adopt = true;
      };
    };
  }
)

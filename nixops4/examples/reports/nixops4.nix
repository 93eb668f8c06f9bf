(import ../../lib/root.nix).mkRoot { name = "reports"; } (
  { members, providers, ... }:
  let
    connection = {
      host = "db1.example.org";
      user = "deployer";
      password.file = "/run/keys/postgresql-deployer";
    };
    role = members.role.outputs.name;
    grant = inputs: {
      type = providers.postgresql.grant;
      inputs = {
        inherit connection role;
      }
      // inputs;
    };
  in
  {
    members.role = {
      type = providers.postgresql.role;
      inputs = {
        inherit connection;
        name = "reports";
        password.file = "/run/keys/reports-database";
        settings.default_transaction_read_only = true;
      };
    };

    members.database = grant {
      objectType = "database";
      objects = [ "mastodon" ];
      privileges = [ "CONNECT" ];
    };

    members.schema = grant {
      database = "mastodon";
      objectType = "schema";
      objects = [ "public" ];
      privileges = [ "USAGE" ];
    };

    # Of the tables that are there, and of those that Mastodon's migrations make.
    members.tables = grant {
      database = "mastodon";
      schema = "public";
      objectType = "table";
      allObjects = true;
      futureBy = [ "mastodon" ];
      privileges = [ "SELECT" ];
    };
  }
)

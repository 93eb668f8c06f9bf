(import ../../lib/root.nix).mkRoot { name = "hosting"; } (
  { members, providers, ... }:
  {
    state = members.state;

    members.state = {
      type = providers.state.sqlite;
      inputs.path = "hosting.sqlite";
    };

    members.mastodon = import ../../components/postgresql-tenant.nix {
      inherit providers;
      name = "mastodon";
      connection = {
        host = "db1.example.org";
        user = "deployer";
        password.file = "/run/keys/postgresql-deployer";
      };
      password.generation = 1;
      tenant = {
        connectionLimit = 50;
        extensions = [ "pg_trgm" ];
      };
    };
  }
)

(import ../../lib/root.nix).mkRoot { name = "shop"; } (
  { members, providers, ... }:
  {
    state = members.state;

    members.state = {
      type = providers.state.sqlite;
      inputs.path = "shop.sqlite";
    };

    members.role = {
      type = providers.postgresql.role;
      inputs = {
        name = "shop";
        password.file = "/run/keys/shop-database";
        connection = {
          host = "127.0.0.1";
          password.file = "/run/keys/postgresql-admin";
        };
      };
    };
  }
)

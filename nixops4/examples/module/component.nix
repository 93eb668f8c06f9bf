{ members, providers, ... }:
{
  imports = [ (import ../../..).modules.nixops4Component.default ];

  # Everything that is made is marked with this name.
  deployment = "shop";

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

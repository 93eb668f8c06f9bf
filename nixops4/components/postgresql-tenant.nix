# An application's corner of a PostgreSQL server: a password that is made for it
# and kept in the secrets store, and the tenant (role and database) that has it.
#
#   members.mastodon = import ./components/postgresql-tenant.nix {
#     inherit providers;
#     name = "mastodon";
#     connection.host = "db.example.org";
#     tenant.extensions = [ "pg_trgm" ];
#   };
#
# Its members are `password` and `tenant`; what a service needs is in
# members.mastodon.members.tenant.outputs. Works with `mkRoot` of this suite and
# of upstream. It names no input of either kind that it does not set itself.
{
  # The root's: a nested component of upstream's has none.
  providers,
  # Name of the tenant.
  name,
  # The server, as an administrator reaches it.
  connection,
  # More inputs of providers.postgresql.tenant.
  tenant ? { },
  # More inputs of providers.secrets.password: `generation`, `length`, `store`.
  password ? { },
  # The member that keeps the state of both. Null: what the component around it
  # says, which upstream does not do.
  state ? null,
}:
{ members, ... }:
let
  recorded = if state == null then { } else { inherit state; };
in
{
  members.password = {
    type = providers.secrets.password;
    inputs = {
      name = "${name}/database";
    }
    // password;
  }
  // recorded;

  members.tenant = {
    type = providers.postgresql.tenant;
    inputs = {
      inherit connection name;
      # A reference: the password itself never passes through Nix.
      password = members.password.outputs.secret;
    }
    // tenant;
  }
  // recorded;
}

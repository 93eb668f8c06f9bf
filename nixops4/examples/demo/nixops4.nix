# An application's role and databases, with a password that is made for
# it. `nixops4 apply` and `nixops4-resources apply`, run in this folder, both
# read this file. The server and the paths are in settings.nix.
let
  nixops4-resources = import ../../lib/root.nix;
  settings = import ./settings.nix;
in
nixops4-resources.mkRoot { name = "demo"; } (
  { members, providers, ... }:
  {
    state = members.state;

    members.state = {
      type = providers.state.sqlite;
      inputs.path = settings.statePath;
    };

    members.guestbook =
      { members, ... }:
      {
        members.password = {
          type = providers.secrets.password;
          inputs = {
            inherit (settings) store;
            name = "guestbook/database";
            length = 40;
          };
        };

        members.role = {
          type = providers.postgresql.role;
          inputs = {
            inherit (settings) connection;
            name = "guestbook";
            # A reference; the password itself never passes through Nix.
            password = members.password.outputs.secret;
            connectionLimit = 20;
          };
        };

        members.database = {
          type = providers.postgresql.database;
          inputs = {
            inherit (settings) connection;
            name = "guestbook";
            ownerRole = members.role.outputs.name;
          };
        };

        members.archive = {
          type = providers.postgresql.database;
          inputs = {
            inherit (settings) connection;
            name = "guestbook_archive";
            ownerRole = members.role.outputs.name;
            connectionLimit = 5;
          };
        };
      };
  }
)

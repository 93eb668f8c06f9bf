# An application's role and databases, with a password that is made for
# it. `nixops4 apply` and `nixops4-resources apply`, run in this folder, both
# read this file. The server and the paths are in settings.nix; every password is
# in a secrets store, and passes through here by reference.
let
  nixops4-resources = import ../../lib/root.nix;
  settings = import ./settings.nix;
in
nixops4-resources.mkRoot { name = "demo"; } (
  { members, providers, ... }:
  let
    connection = settings.connection // {
      password = members.administrator.outputs.secret;
    };
  in
  {
    state = members.state;

    members.state = {
      type = providers.state.sqlite;
      inputs.path = settings.statePath;
    };

    # The server's superuser has a password already, so it is not made:
    # `nixops4-resources secret set postgresql/administrator --owner demo` keeps it.
    members.administrator = {
      type = providers.secrets.value;
      inputs = {
        inherit (settings) store;
        name = "postgresql/administrator";
      };
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
            inherit connection;
            name = "guestbook";
            # A reference; the password itself never passes through Nix.
            password = members.password.outputs.secret;
            connectionLimit = 20;
          };
        };

        members.database = {
          type = providers.postgresql.database;
          inputs = {
            inherit connection;
            name = "guestbook";
            ownerRole = members.role.outputs.name;
          };
        };

        members.archive = {
          type = providers.postgresql.database;
          inputs = {
            inherit connection;
            name = "guestbook_archive";
            ownerRole = members.role.outputs.name;
            connectionLimit = 5;
          };
        };
      };
  }
)

# The members that the JSON file MODEL lists, recorded in a state of the kind
# that STATE names.
let
  nixops4-resources = import ../../../nixops4/lib/root.nix;
  settings = import ./settings.nix;
  inherit (settings) connection;
  listed = builtins.fromJSON (builtins.readFile (builtins.getEnv "MODEL"));
in
nixops4-resources.mkRoot { name = "model"; } (
  { members, providers, ... }:
  let
    states = {
      sqlite = {
        type = providers.state.sqlite;
        inputs.path = settings.statePath;
      };
      file = {
        type = providers.state.file;
        inputs.name = settings.statePath;
      };
      postgresql = {
        type = providers.state.postgresql;
        inputs.connection = connection // {
          database = "postgres";
        };
      };
    };
    output = member: name: if member == null then null else members.${member}.outputs.${name};
    kinds = {
      password = entry: {
        type = providers.secrets.password;
        inputs = {
          inherit (settings) store;
          name = entry.thing;
          generation = entry.value;
        };
      };
      role = entry: {
        type = providers.postgresql.role;
        inputs = {
          inherit connection;
          name = entry.thing;
          password = output entry.uses "secret";
          connectionLimit = entry.value;
        };
      };
      database = entry: {
        type = providers.postgresql.database;
        inputs = {
          inherit connection;
          name = entry.thing;
          ownerRole = output entry.uses "name";
          connectionLimit = entry.value;
        };
      };
      tenant = entry: {
        type = providers.postgresql.tenant;
        inputs = {
          inherit connection;
          name = entry.thing;
          password = output entry.uses "secret";
          connectionLimit = entry.value;
        };
      };
      membership = entry: {
        type = providers.postgresql.membership;
        inputs = {
          inherit connection;
          role = output entry.uses "name";
          group = output entry.group "name";
        };
      };
    };
    resource =
      entry:
      let
        made = kinds.${entry.kind} entry;
      in
      made
      // {
        inputs = made.inputs // {
          deletionPolicy = if entry.retain then "retain" else "delete";
        };
      };
  in
  {
    state = members.state;
    members = {
      state = states.${builtins.getEnv "STATE"};
    }
    // builtins.mapAttrs (_: resource) listed;
  }
)

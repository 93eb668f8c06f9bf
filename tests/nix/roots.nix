# Small roots that the cases share, and ways to look at them.
let
  inherit (builtins) listToAttrs;
  inherit (import ../../default.nix) lib;
  inherit (import ./fixpoint.nix) run;

  arguments = {
    name = "demo";
    schemas = ./fixtures/schemas;
  };
  mkRoot = lib.mkRoot arguments;
  # Export of a root, before and after its members exist.
  unknown = component: run (mkRoot component) { };
  known = table: component: run (mkRoot component) table;

  connection.host = "db.example.org";
  secret = {
    store = "main";
    name = "app/db";
    generation = 1;
    id = "8f3c";
  };

  # One member `x` of the kind probe.thing with these inputs.
  thing =
    inputs:
    (unknown (
      { providers, ... }:
      {
        members.x = {
          type = providers.probe.thing;
          inherit inputs;
        };
      }
    )).members.x.resource;
  thingError = inputs: error: {
    expr = (thing inputs).inputs;
    inherit error;
  };

  # One role `x`.
  role =
    inputs:
    (unknown (
      { providers, ... }:
      {
        members.x = {
          type = providers.postgresql.role;
          inputs = {
            inherit connection;
            name = "app";
          }
          // inputs;
        };
      }
    )).members.x.resource.inputs;

  application =
    { members, providers, ... }:
    {
      state = members.state;
      members = {
        state = {
          type = providers.state.sqlite;
          inputs.path = "/state";
        };
        password = {
          type = providers.secrets.password;
          inputs.name = "app/db";
        };
        role = {
          type = providers.postgresql.role;
          inputs = {
            name = "app";
            password = members.password.outputs.secret;
            inherit connection;
          };
        };
        database = {
          type = providers.postgresql.database;
          inputs = {
            name = "app";
            ownerRole = members.role.outputs.name;
            connection = connection // {
              password = members.password.outputs.secret;
            };
          };
        };
      };
    };

  # The `state` of each member of a tree, by name.
  states =
    export:
    builtins.mapAttrs (
      _: member: if member ? resource then member.resource.state else states member
    ) export.members;

  stateError = component: error: {
    expr = states (unknown component);
    inherit error;
  };

  structural =
    { members, providers, ... }:
    {
      members.selector = {
        type = providers.probe.thing;
        inputs.any = "s";
      };
      members.user = {
        type = providers.probe.thing;
        inputs.any = members.conditional.members.c.outputs.text;
      };
      members.conditional.members = listToAttrs (
        map (name: {
          inherit name;
          value = {
            type = providers.probe.thing;
            inputs.any = name;
          };
        }) members.selector.outputs.names
      );
      members.either =
        if members.selector.outputs.number == 1 then
          {
            type = providers.probe.thing;
            inputs.flag = true;
          }
        else
          { members = { }; };
    };
  structuralTable = {
    selector = {
      names = [ "c" ];
      number = 1;
    };
    "conditional.c".text = "from c";
  };

  local = {
    executable = "nixops4-resources-local";
    args = [ "--verbose" ];
    kinds = {
      file = {
        inputs = {
          type = "object";
          properties = {
            name.type = "string";
            contents.type = "string";
            owner.type = [
              "string"
              "null"
            ];
          };
          required = [
            "name"
            "contents"
          ];
          additionalProperties = false;
        };
      };
      memo = {
        state = "required";
        outputs.properties.value = { };
      };
      state_file = {
        state = "never";
      };
    };
  };
  withLocal =
    component: run (lib.mkRoot (arguments // { extraProviders = { inherit local; }; }) component) { };
  executableOf =
    executables:
    (run (lib.mkRoot (arguments // { inherit executables; }) (
      { providers, ... }:
      {
        members.x = {
          type = providers.probe.thing;
        };
      }
    )) { }).members.x.resource.provider;
in
{
  inherit
    application
    arguments
    connection
    executableOf
    known
    local
    mkRoot
    role
    secret
    stateError
    states
    structural
    structuralTable
    thing
    thingError
    unknown
    withLocal
    ;
}

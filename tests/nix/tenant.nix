# An application's corner of a server: the component, the example, and every
# kind of PostgreSQL over the committed schemas.
let
  inherit (builtins)
    attrNames
    deepSeq
    fromJSON
    mapAttrs
    readFile
    ;
  inherit (import ../../default.nix) components lib;
  inherit (import ./fixpoint.nix) run tried;

  example = import ../../nixops4/examples/tenant/nixops4.nix;
  secret = {
    store = "main";
    name = "mastodon/database";
    generation = 1;
    id = "8f3c";
  };
  before = (run example { }).members.mastodon.members;
  after = (run example { "mastodon.password" = { inherit secret; }; }).members.mastodon.members;

  rootOf = lib.mkRoot { name = "demo"; };
  membersOf =
    definitions: (run (rootOf ({ providers, ... }: { members = definitions providers; })) { }).members;
  inputsOf = definitions: mapAttrs (_: member: member.resource.inputs) (membersOf definitions);
  connection.host = "db.example.org";
  refused = kind: inputs: error: {
    expr =
      (membersOf (providers: {
        x = {
          type = providers.postgresql.${kind};
          inputs = {
            inherit connection;
          }
          // inputs;
        };
      })).x.resource.inputs;
    inherit error;
  };

  corner =
    more:
    (run (rootOf (
      { members, providers, ... }:
      {
        members.state = {
          type = providers.state.sqlite;
          inputs.path = "/state";
        };
        members.app = components.postgresqlTenant (
          {
            inherit connection providers;
            name = "app";
            state = members.state;
          }
          // more
        );
      }
    )) { "app.password".secret = secret; }).members.app.members;
in
{
  # -- the component

  itsMembers = {
    expr = mapAttrs (_: member: [
      member.resource.type
      member.resource.state
    ]) after;
    expected = {
      password = [
        "secrets_password"
        [ "state" ]
      ];
      tenant = [
        "postgresql_tenant"
        [ "state" ]
      ];
    };
  };

  itsPasswordIsAReference = {
    expr = {
      known = after.tenant.resource.inputs.password;
      unknown = tried before.tenant.resource.inputs.password;
      inherit (after.password.resource.inputs) name generation;
    };
    expected = {
      known = secret // {
        env = null;
        file = null;
        storeKey = null;
      };
      unknown = "<throws>";
      name = "mastodon/database";
      generation = 1;
    };
  };

  itsOwnWords = {
    expr =
      let
        made = corner {
          tenant = {
            role = "app_login";
            deletionPolicy = "delete";
          };
          password.store = "other";
        };
      in
      deepSeq made [
        made.tenant.resource.inputs.role
        made.tenant.resource.inputs.deletionPolicy
        made.tenant.resource.inputs.owner
        made.password.resource.inputs.store
        made.tenant.resource.state
      ];
    expected = [
      "app_login"
      "delete"
      "demo"
      "other"
      [ "state" ]
    ];
  };

  itsMistakesAreNamed = {
    expr = (corner { tenant.extension = [ "pg_trgm" ]; }).tenant.resource.inputs;
    error = [
      "members.app.members.tenant.inputs.extension: no such input; did you mean `extensions`?"
    ];
  };

  itsOutputsMakeAService = {
    expr =
      (import ../../nixops4/examples/tenant/mastodon.nix {
        host = "db.example.org";
        port = 5432;
        database = "m";
        user = "u";
        passwordRef = secret;
        url = "postgresql://u@db.example.org:5432/m";
      } { }).services.mastodon.database;
    expected = {
      createLocally = false;
      host = "db.example.org";
      port = 5432;
      name = "m";
      user = "u";
      passwordFile = "/run/keys/mastodon-database";
    };
  };

  # -- each kind

  outputsOfATenant = {
    expr = attrNames after.tenant.resource.outputsSkeleton;
    expected = [
      "database"
      "databaseOid"
      "host"
      "passwordRef"
      "port"
      "roleOid"
      "systemIdentifier"
      "url"
      "user"
    ];
  };

  everyKindIsThere = {
    expr =
      map (kind: "postgresql_${kind}")
        (inputsOf (providers: {
          role = {
            type = providers.postgresql.role;
            inputs = {
              inherit connection;
              name = "r";
              memberOf = attrNames providers.postgresql;
            };
          };
        })).role.memberOf;
    expected = attrNames (fromJSON (readFile ../../schemas/postgresql.json)).kinds;
  };

  whatIsRequiredIsEnough = {
    expr =
      let
        inputs = inputsOf (
          providers:
          mapAttrs
            (kind: inputs: {
              type = providers.postgresql.${kind};
              inputs = {
                inherit connection;
              }
              // inputs;
            })
            {
              database.name = "d";
              default_privileges = {
                database = "d";
                creator = "c";
                role = "public";
                objectType = "largeObject";
                privileges = [ "ALL" ];
              };
              extension = {
                database = "d";
                name = "pg_trgm";
              };
              grant = {
                role = "r";
                objectType = "table";
                privileges = [ "SELECT" ];
              };
              membership = {
                role = "r";
                group = "g";
              };
              role.name = "r";
              schema = {
                database = "d";
                name = "s";
              };
              tenant.name = "t";
            }
        );
      in
      deepSeq inputs {
        owners = attrNames (
          builtins.listToAttrs (
            map (kind: {
              name = inputs.${kind}.owner;
              value = null;
            }) (attrNames inputs)
          )
        );
        policies = mapAttrs (_: kind: kind.deletionPolicy) inputs;
        modes = [
          inputs.grant.mode
          inputs.default_privileges.mode
        ];
        inherit (inputs.grant) allObjects futureBy columns;
        inherit (inputs.membership) inheritPrivileges setRole;
        inherit (inputs.tenant) revokePublic connectionLimit password;
        inherit (inputs.role) settings settingsInDatabase validUntil;
      };
    expected = {
      owners = [ "demo" ];
      policies = {
        database = "retain";
        default_privileges = "delete";
        extension = "retain";
        grant = "delete";
        membership = "delete";
        role = "delete";
        schema = "retain";
        tenant = "retain";
      };
      modes = [
        "authoritative"
        "authoritative"
      ];
      allObjects = false;
      futureBy = [ ];
      columns = [ ];
      inheritPrivileges = null;
      setRole = null;
      revokePublic = true;
      connectionLimit = -1;
      password = null;
      settings = null;
      settingsInDatabase = null;
      validUntil = null;
    };
  };

  settingsOfEachType = {
    expr =
      (inputsOf (providers: {
        role = {
          type = providers.postgresql.role;
          inputs = {
            inherit connection;
            name = "r";
            settings = {
              statement_timeout = "30s";
              work_mem = 4096;
              random_page_cost = 1.1;
              jit = false;
            };
          };
        };
      })).role.settings;
    expected = {
      statement_timeout = "30s";
      work_mem = 4096;
      random_page_cost = 1.1;
      jit = false;
    };
  };

  settingsByDatabase = {
    expr =
      (inputsOf (providers: {
        role = {
          type = providers.postgresql.role;
          inputs = {
            inherit connection;
            name = "r";
            settingsInDatabase.shop.search_path = "shop, public";
          };
        };
      })).role.settingsInDatabase;
    expected.shop.search_path = "shop, public";
  };

  # -- what is refused before a provider is asked

  wrongObjectType =
    refused "grant"
      {
        role = "r";
        objectType = "tabel";
        privileges = [ ];
      }
      [
        "members.x.inputs.objectType: no such value; did you mean `table`?"
      ];
  missingPrivileges =
    refused "grant"
      {
        role = "r";
        objectType = "table";
      }
      [
        "members.x.inputs.privileges: is required but not set."
      ];
  wrongMode = refused "default_privileges" {
    database = "d";
    creator = "c";
    role = "r";
    objectType = "table";
    privileges = [ "SELECT" ];
    mode = "exclusive";
  } [ "members.x.inputs.mode: no such value; known: authoritative, additive" ];
  secretInPlaceOfAReference = {
    expr =
      (membersOf (providers: {
        x = {
          type = providers.postgresql.tenant;
          inputs = {
            inherit connection;
            name = "t";
            password = "hunter2";
          };
        };
      })).x.resource.inputs.password;
    error = [ "members.x.inputs.password: must be a reference to a secret" ];
    absent = [ "hunter2" ];
  };
  textInPlaceOfAList = {
    expr =
      (membersOf (providers: {
        x = {
          type = providers.postgresql.membership;
          inputs = {
            inherit connection;
            role = "r";
            group = [ "g" ];
          };
        };
      })).x.resource.inputs.group;
    error = [ "members.x.inputs.group: must be a string, but is a list" ];
  };
}

# The two ways to the same root: without nixpkgs, and upstream's mkRoot with
# our modules. What they tell `nixops4` must be equal to the byte.
let
  schemas = ./fixtures/schemas;
  nixops4 = import ../../flake-compat.nix { };
  inherit (import ../../default.nix) lib;
  inherit (import ./fixpoint.nix) run;
  providerModule = import ../../nixops4/lib/provider-module.nix;

  names = [
    "postgresql"
    "probe"
    "secrets"
    "state"
  ];

  # Declares the providers from the fixtures, as components/default.nix does
  # from the committed schemas.
  upstream =
    module:
    nixops4.lib.mkRoot {
      modules = [
        {
          providers = builtins.listToAttrs (
            map (name: {
              inherit name;
              value = {
                imports = [ (providerModule (schemas + "/${name}.json")) ];
                deployment = "demo";
              };
            }) names
          );
        }
        module
      ];
    };

  ours = lib.mkRoot {
    name = "demo";
    inherit schemas;
  };

  connection.host = "db.example.org";

  outputs = {
    "dbPassword".secret = {
      store = "main";
      name = "app/db";
      generation = 1;
      id = "8f3c";
    };
    "role" = {
      name = "app";
      oid = 16384;
    };
    "first" = {
      number = 3;
      text = "t";
      names = [
        "x"
        "y"
      ];
      nothing = null;
    };
    "mail.selector" = {
      number = 1;
      text = "resource";
      names = [ "c" ];
      nothing = null;
    };
  };

  # The same members for both, but that upstream wants `state` at each.
  members =
    { members, providers }:
    {
      state = {
        type = providers.state.sqlite;
        inputs.path = "/state";
      };
      dbPassword = {
        type = providers.secrets.password;
        state = members.state;
        inputs.name = "app/db";
      };
      role = {
        type = providers.postgresql.role;
        state = members.state;
        inputs = {
          name = "app";
          password = members.dbPassword.outputs.secret;
          connection = connection // {
            tls.mode = "verify-full";
            password.file = "/run/keys/x";
          };
          memberOf = [ "readers" ];
        };
      };
      first = {
        type = providers.probe.thing;
        inputs = { };
      };
      second = {
        type = providers.probe.thing;
        inputs = {
          owner = "somebody";
          any = {
            list = [
              1
              null
              "x"
            ];
          };
          labels.a = members.first.outputs.text;
          weights = {
            one = { };
            two = {
              weight = 2;
              note = members.first.outputs.nothing;
            };
          };
          rules = [
            { from = "a"; }
            {
              from = "b";
              ports = [
                1
                members.first.outputs.number
              ];
              secret.env = "NAME";
            }
          ];
          size = 4096;
          maybeLevel = "low";
          maybeMode = "b";
          open.other = [ true ];
          deep.inner.value = members.first.outputs.number;
          maybeNames = members.first.outputs.names;
          flag = false;
          atMost = -3;
          zone = "a";
          word = "w";
        };
      };
      third = {
        type = providers.probe.thing;
        inputs = {
          size = "2G";
          any = "text";
          maybeLevel = null;
          open.known = false;
          deep = { };
        };
      };
      mail =
        { members, ... }:
        {
          members = {
            selector = {
              type = providers.probe.thing;
              inputs.any = 1.5;
            };
            # Which members there are depends on an output.
            child.members = builtins.listToAttrs (
              map (name: {
                inherit name;
                value = {
                  type = providers.postgresql.database;
                  inputs = {
                    inherit connection name;
                  };
                };
              }) members.selector.outputs.names
            );
            # What it is, too.
            either =
              if members.selector.outputs.text == "resource" then
                {
                  type = providers.probe.thing;
                  inputs.flag = true;
                }
              else
                { members = { }; };
          };
        };
    };

  root = { members, providers, ... }: { members = membersOf { inherit members providers; }; };
  membersOf = members;

  ourExport = run (ours root) outputs;
  upstreamExport = run (upstream root) outputs;

  # `attribute path` of a member -> the same case for each of its parts.
  same = select: {
    expr = select ourExport;
    expected = select upstreamExport;
  };

in
{
  wholeRoot = same (export: export);
  # With what components/default.nix does for members that are plain.
  wholeRootOfPlainMembers = {
    expr = run (upstream {
      imports = [
        ../../nixops4/lib/plain-members.nix
        root
      ];
    }) outputs;
    expected = upstreamExport;
  };
  state = same (export: export.members.state);
  password = same (export: export.members.dbPassword);
  role = same (export: export.members.role);
  allDefaults = same (export: export.members.first);
  everyConstruct = same (export: export.members.second);
  someSet = same (export: export.members.third);
  dynamicMembers = same (export: export.members.mail.members.child);
  dynamicKind = same (export: export.members.mail.members.either);

  # Not merely equally empty.
  somethingThere = {
    expr = upstreamExport.members.role.resource.inputs.password.id;
    expected = "8f3c";
  };

  # The author's own word counts, and without a deployment somebody must say it.
  ownerRequired = {
    expr =
      (run (nixops4.lib.mkRoot {
        modules = [
          (
            { providers, ... }:
            {
              providers.probe = providerModule (schemas + "/probe.json");
              members.x.type = providers.probe.thing;
            }
          )
        ];
      }) { }).members.x.resource.inputs.owner;
    error = [ "inputs.owner" ];
  };

  upstreamRefusesUnknown = {
    expr =
      (run (upstream (
        { providers, ... }:
        {
          members.x = {
            type = providers.probe.thing;
            inputs.sizze = 1;
          };
        }
      )) { }).members.x.resource.inputs.size;
    error = [ "sizze" ];
  };

  upstreamRefusesRange = {
    expr =
      (run (upstream (
        { providers, ... }:
        {
          members.x = {
            type = providers.probe.thing;
            inputs.atMost = 4;
          };
        }
      )) { }).members.x.resource.inputs.atMost;
    error = [
      "atMost"
      "at most 3"
    ];
  };

  upstreamRefusesPattern = {
    expr =
      (run (upstream (
        { providers, ... }:
        {
          members.x = {
            type = providers.probe.thing;
            inputs.zone = "A";
          };
        }
      )) { }).members.x.resource.inputs.zone;
    error = [
      "zone"
      "[a-z][a-z0-9-]{0,9}"
    ];
  };

  upstreamRequiresState = {
    expr =
      (run (upstream (
        { providers, ... }:
        {
          members.x = {
            type = providers.secrets.password;
            inputs.name = "x";
          };
        }
      )) { }).members.x.resource.state;
    error = [ "has not been defined" ];
  };

  executableCanBeSet = {
    expr =
      (run (nixops4.lib.mkRoot {
        modules = [
          (
            { providers, ... }:
            {
              providers.state = {
                imports = [ (providerModule (schemas + "/state.json")) ];
                executable = "/elsewhere/state";
              };
              members.x = {
                type = providers.state.sqlite;
                inputs = {
                  deployment = "d";
                  path = "p";
                };
              };
            }
          )
        ];
      }) { }).members.x.resource;
    expected = {
      inputs = {
        deployment = "d";
        path = "p";
      };
      outputsSkeleton = { };
      provider = {
        args = [ ];
        executable = "/elsewhere/state";
        type = "stdio";
      };
      state = null;
      type = "state_sqlite";
    };
  };

  # The component that users import, over the committed schemas.
  component = {
    expr =
      let
        export = run (nixops4.lib.mkRoot {
          modules = [
            (
              { members, providers, ... }:
              {
                imports = [ (import ../../default.nix).modules.nixops4Component.default ];
                deployment = "demo";
                members.state = {
                  type = providers.state.sqlite;
                  inputs.path = "/state";
                };
                members.database = {
                  type = providers.postgresql.database;
                  state = members.state;
                  inputs = {
                    inherit connection;
                    name = "app";
                  };
                };
              }
            )
          ];
        }) { };
      in
      export;
    expected = run (lib.mkRoot { name = "demo"; } (
      { members, providers, ... }:
      {
        state = members.state;
        members.state = {
          type = providers.state.sqlite;
          inputs.path = "/state";
        };
        members.database = {
          type = providers.postgresql.database;
          inputs = {
            inherit connection;
            name = "app";
          };
        };
      }
    )) { };
  };

  # Under upstream's `apply` a certificate that was recorded would expire: neither
  # way does record it unless somebody says so.
  certificatesAreLookedAtEachTime =
    let
      file = ./fixtures/certificates.nix;
      stateOf = export: builtins.mapAttrs (_: member: member.resource.state) export.members;
      theirs = run (nixops4.lib.mkRoot {
        modules = [
          (
            { members, providers, ... }:
            {
              imports = [ (import ../../default.nix).modules.nixops4Component.default ];
              deployment = "demo";
              members = import file {
                inherit members providers;
                more.state = members.state;
              };
            }
          )
        ];
      }) { };
      same = run (lib.mkRoot { name = "demo"; } (
        { members, providers, ... }:
        {
          state = members.state;
          members = import file { inherit members providers; };
        }
      )) { };
    in
    {
      expr = [
        theirs
        (stateOf theirs)
      ];
      expected = [
        same
        {
          state = null;
          password = [ "state" ];
          ca = null;
          web = null;
          recorded = [ "state" ];
        }
      ];
    };

  # A component that is the same file for both, and every kind of PostgreSQL.
  everyKind =
    let
      table."app.password".secret = {
        store = "main";
        name = "app/database";
        generation = 1;
        id = "8f3c";
      };
      corner =
        { members, providers }:
        {
          state = {
            type = providers.state.sqlite;
            inputs.path = "/state";
          };
          app = (import ../../default.nix).components.postgresqlTenant {
            inherit connection providers;
            name = "app";
            state = members.state;
            tenant.extensions = [ "pg_trgm" ];
            password.length = 40;
          };
        }
        // builtins.mapAttrs (kind: inputs: {
          type = providers.postgresql.${kind};
          state = members.state;
          inputs = {
            inherit connection;
          }
          // inputs;
        }) kinds;
      kinds = {
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
          cascade = true;
        };
        grant = {
          role = "r";
          objectType = "table";
          database = "d";
          schema = "public";
          allObjects = true;
          futureBy = [ "c" ];
          privileges = [ "SELECT" ];
          mode = "additive";
        };
        membership = {
          role = "r";
          group = "g";
          inheritPrivileges = false;
        };
        role = {
          name = "r";
          settings = {
            statement_timeout = "30s";
            work_mem = 4096;
            random_page_cost = 1.1;
            jit = false;
          };
          settingsInDatabase.d.search_path = "d, public";
        };
        schema = {
          database = "d";
          name = "s";
        };
        tenant = {
          name = "t";
          password.file = "/run/keys/t";
        };
      };
    in
    {
      expr = run (nixops4.lib.mkRoot {
        modules = [
          (
            { members, providers, ... }:
            {
              imports = [ (import ../../default.nix).modules.nixops4Component.default ];
              deployment = "demo";
              members = corner { inherit members providers; };
            }
          )
        ];
      }) table;
      expected = run (lib.mkRoot { name = "demo"; } (
        { members, providers, ... }: { members = corner { inherit members providers; }; }
      )) table;
    };
}

# What mkRoot gives. A case is { expr; expected; }; run.sh evaluates each in a
# process of its own.
let
  inherit (builtins) attrNames getContext;
  inherit (import ./fixpoint.nix) tried;
  inherit (import ./roots.nix)
    application
    known
    mkRoot
    secret
    structural
    structuralTable
    thing
    unknown
    ;
in
{
  # -- the contract

  rootIsAComponent = {
    expr = {
      names = attrNames (mkRoot application);
      inherit (mkRoot application) _type;
    };
    expected = {
      names = [
        "_type"
        "rootFunction"
      ];
      _type = "nixops4Component";
    };
  };

  resourceShape = {
    expr = (known { password = { inherit secret; }; } application).members.role;
    expected.resource = {
      provider = {
        type = "stdio";
        executable = "nixops4-resources-postgresql";
        args = [ ];
      };
      type = "postgresql_role";
      state = [ "state" ];
      outputsSkeleton = {
        name = { };
        oid = { };
      };
      inputs = {
        owner = "demo";
        name = "app";
        connection = {
          host = "db.example.org";
          port = 5432;
          user = "postgres";
          password = null;
          database = "postgres";
          tls = {
            mode = "prefer";
            caFile = null;
          };
        };
        login = true;
        superuser = false;
        createDatabase = false;
        createRole = false;
        "inherit" = true;
        replication = false;
        bypassRls = false;
        connectionLimit = -1;
        password = {
          file = null;
          env = null;
          store = "main";
          name = "app/db";
          generation = 1;
          id = "8f3c";
        };
        memberOf = [ ];
        adopt = false;
        deletionPolicy = "delete";
      };
    };
  };

  emptyRoot = {
    expr = unknown { members = { }; };
    expected = {
      members = { };
    };
  };

  plainAttrset = {
    expr = (
      known { } {
        members.inner.members = { };
      }
    );
    expected.members.inner.members = { };
  };

  # -- what is filled in

  ownerIsTheDeployment = {
    expr = (thing { }).inputs.owner;
    expected = "demo";
  };

  ownerOfTheAuthor = {
    expr = (thing { owner = "other"; }).inputs.owner;
    expected = "other";
  };

  stateKindKnowsTheDeployment = {
    expr = (unknown application).members.state.resource.inputs;
    expected = {
      deployment = "demo";
      path = "/state";
    };
  };

  defaultsOfEverything = {
    expr = (thing { }).inputs;
    expected = {
      owner = "demo";
      any = null;
      labels = { };
      weights.a = {
        weight = 1.5;
        note = null;
      };
      rules = [ ];
      size = "1G";
      maybeLevel = null;
      maybeMode = null;
      open.known = true;
      deep.inner.value = 7;
      maybeNames = null;
      flag = null;
      atMost = 0;
      word = null;
      zone = null;
    };
  };

  defaultsWithinLists = {
    expr =
      (thing {
        rules = [ { from = "a"; } ];
      }).inputs.rules;
    expected = [
      {
        from = "a";
        ports = [ 80 ];
        secret = null;
      }
    ];
  };

  contextIsKept = {
    expr =
      let
        marked = builtins.appendContext "text" {
          "${builtins.storeDir}/00000000000000000000000000000000-first".path = true;
        };
        export = known { first.text = marked; } (
          { members, providers, ... }:
          {
            members.first.type = providers.probe.thing;
            members.second = {
              type = providers.probe.thing;
              inputs = {
                labels.a = members.first.outputs.text;
                size = "x${members.first.outputs.text}";
              };
            };
          }
        );
      in
      map (value: attrNames (getContext (builtins.toJSON value)) != [ ]) [
        export.members.second.resource.inputs.labels
        export.members.second.resource.inputs.size
        export.members.second.resource.inputs.any
      ];
    expected = [
      true
      true
      false
    ];
  };

  # -- nesting

  componentInAFile = {
    expr =
      let
        export = known { "mail.mailbox".text = "inner"; } (
          { members, providers, ... }:
          {
            members.mail = ./fixtures/mail.nix;
            members.outer = {
              type = providers.probe.thing;
              inputs.any = [
                members.mail.members.mailbox.outputs.text
                members.mail.members.mailbox.inputs.any
                members.mail.members.mailbox.absoluteMemberPath
              ];
            };
          }
        );
      in
      {
        alias = export.members.mail.members.alias.resource.inputs.any;
        outer = export.members.outer.resource.inputs.any;
      };
    expected = {
      alias = "inner";
      outer = [
        "inner"
        "mailbox of demo"
        [
          "mail"
          "mailbox"
        ]
      ];
    };
  };

  rootInAFile = {
    expr = attrNames (unknown ./fixtures/mail.nix).members;
    expected = [
      "alias"
      "mailbox"
    ];
  };

  resourceAsAFunction = {
    expr =
      (unknown {
        members.x =
          { providers, name, ... }:
          {
            type = providers.probe.thing;
            inputs.any = name;
          };
      }).members.x.resource.inputs.any;
    expected = "demo";
  };

  # -- laziness

  unknownOutputsAreLocal = {
    expr =
      let
        inherit (unknown application) members;
      in
      {
        names = map (name: attrNames members.${name}.resource.inputs) [
          "database"
          "password"
        ];
        password = tried members.password.resource.inputs.name;
        rolePassword = tried members.role.resource.inputs.password;
        roleName = tried members.role.resource.inputs.name;
        roleState = tried members.role.resource.state;
        ownerRole = tried members.database.resource.inputs.ownerRole;
        host = tried members.database.resource.inputs.connection.host;
        connectionNames = attrNames members.database.resource.inputs.connection;
        connectionPassword = tried members.database.resource.inputs.connection.password;
      };
    expected = {
      names = [
        [
          "adopt"
          "connection"
          "connectionLimit"
          "deletionPolicy"
          "encoding"
          "locale"
          "name"
          "owner"
          "ownerRole"
          "template"
        ]
        [
          "adopt"
          "deletionPolicy"
          "digits"
          "generation"
          "length"
          "lower"
          "name"
          "owner"
          "store"
          "symbols"
          "upper"
        ]
      ];
      password = "app/db";
      rolePassword = "<throws>";
      roleName = "app";
      roleState = [ "state" ];
      ownerRole = "<throws>";
      host = "db.example.org";
      connectionNames = [
        "database"
        "host"
        "password"
        "port"
        "tls"
        "user"
      ];
      connectionPassword = "<throws>";
    };
  };

  elementsAreLazy = {
    expr =
      let
        inherit
          (thing {
            rules = [
              { from = throw "unknown"; }
              { from = "b"; }
            ];
            labels = {
              a = throw "unknown";
              b = "b";
            };
          })
          inputs
          ;
      in
      [
        (builtins.length inputs.rules)
        (builtins.elemAt inputs.rules 1).from
        (attrNames inputs.labels)
        inputs.labels.b
        (tried inputs.labels.a)
      ];
    expected = [
      2
      "b"
      [
        "a"
        "b"
      ]
      "b"
      "<throws>"
    ];
  };

  membersThatDependOnOutputs = {
    expr =
      let
        before = (unknown structural).members;
        after = (known structuralTable structural).members;
      in
      {
        before = [
          (attrNames before)
          before.selector.resource.inputs.any
          (tried (attrNames before.conditional.members))
          (tried (before.either ? resource))
          (tried before.user.resource.inputs.any)
          before.user.resource.inputs.size
        ];
        after = [
          (attrNames after.conditional.members)
          after.conditional.members.c.resource.inputs.any
          after.either.resource.inputs.flag
          after.user.resource.inputs.any
        ];
      };
    expected = {
      before = [
        [
          "conditional"
          "either"
          "selector"
          "user"
        ]
        "s"
        "<throws>"
        "<throws>"
        "<throws>"
        "1G"
      ];
      after = [
        [ "c" ]
        "c"
        true
        "from c"
      ];
    };
  };

  # A reference looks at no more than the name.
  stateReferenceIsLazy = {
    expr =
      (unknown (
        { members, ... }:
        {
          state = members.missing or (throw "forced");
          members.inner.members = { };
        }
      )).members.inner;
    expected.members = { };
  };

  aThousandMembers = {
    expr =
      let
        inherit (import ./members.nix { count = 1000; }) export;
      in
      {
        count = builtins.length (attrNames export.members);
        last = export.members.role999.resource.inputs.memberOf;
        total = builtins.stringLength (builtins.toJSON export) > 500000;
      };
    expected = {
      count = 1001;
      last = [ "role998" ];
      total = true;
    };
  };
}

# What mkRoot refuses, and how it says so. A case is { expr; error; } with what
# the message must contain, and in `absent` what it must not.
let
  inherit (import ../../default.nix) lib;
  inherit (import ./fixpoint.nix) run;
  inherit (import ./roots.nix)
    application
    arguments
    connection
    role
    thing
    thingError
    unknown
    ;
in
{
  # -- inputs

  unknownInput = {
    expr = role { passwrod = null; };
    error = [
      "members.x.inputs.passwrod: no such input; did you mean `password`? known: adopt, bypassRls, connection,"
    ];
  };

  unknownInputWithoutLikeness = {
    expr = role { zzzzzz = null; };
    error = [ "members.x.inputs.zzzzzz: no such input; known: adopt," ];
    absent = [ "did you mean" ];
  };

  unknownInputWithin = {
    expr = role { connection.hots = "h"; };
    error = [
      "members.x.inputs.connection.hots: no such input; did you mean `host`?"
      "members.x.inputs.connection.host: is required but not set. Host name, address or folder"
    ];
  };

  missingInputs = {
    expr =
      (unknown {
        members.outer.members.x = { providers, ... }: { type = providers.postgresql.role; };
      }).members.outer.members.x.resource.inputs;
    error = [
      "members.outer.members.x.inputs.connection: is required but not set. How to reach the server."
      "members.outer.members.x.inputs.name: is required but not set. Name of the role, at most 63 bytes."
    ];
    absent = [ "owner" ];
  };

  wrongType = {
    expr = role { login = "yes"; };
    error = [ "members.x.inputs.login: must be true or false, but is a string" ];
  };

  wrongTypeNullable = thingError { maybeNames = "a"; } [
    "members.x.inputs.maybeNames: must be a list, or null, but is a string"
  ];

  nullWhereNoneIsAllowed = {
    expr = role { name = null; };
    error = [ "members.x.inputs.name: must be a string, but is null" ];
  };

  pathForString = {
    expr = role { name = ./run.sh; };
    error = [ "members.x.inputs.name: must be a string, but is a path (write it as a string" ];
  };

  outOfRange = {
    expr = role {
      connection = connection // {
        port = 65536;
      };
    };
    error = [ "members.x.inputs.connection.port: must be between 1 and 65535, but is 65536" ];
  };

  aboveTheOnlyBound = thingError { atMost = 4; } [
    "members.x.inputs.atMost: must be at most 3, but is 4"
  ];

  belowTheOnlyBound = thingError {
    rules = [
      {
        from = "a";
        ports = [
          1
          0
        ];
      }
    ];
  } [ "members.x.inputs.rules.0.ports.1: must be at least 1, but is 0" ];

  notAnInteger = thingError { atMost = 0.5; } [
    "members.x.inputs.atMost: must be an integer, but is a number with a fraction"
  ];

  notInEnum = {
    expr = role { deletionPolicy = "retian"; };
    error = [
      "members.x.inputs.deletionPolicy: no such value; did you mean `retain`? known: retain, delete"
    ];
  };

  notInEnumAtAll = thingError { maybeLevel = 3; } [
    ''members.x.inputs.maybeLevel: must be one of "low", "high", or null, but is an integer''
  ];

  wrongInMap = thingError { labels.a = 1; } [
    "members.x.inputs.labels.a: must be a string, but is an integer"
  ];

  wrongAlternative = thingError { size = true; } [
    "members.x.inputs.size: must be an integer or a string, but is a boolean"
  ];

  patternMissed = thingError { zone = "Example.org"; } [
    "members.x.inputs.zone: must match [a-z][a-z0-9-]{0,9} as a whole. At most ten letters, digits and hyphens."
  ];

  patternMatched = {
    expr = (thing { zone = "a-1"; }).inputs.zone;
    expected = "a-1";
  };

  patternForOthersToJudge = {
    expr = (thing { word = "no word"; }).inputs.word;
    expected = "no word";
  };

  # Whoever does this must not find it in a log as well.
  secretInClear = {
    expr = role { password = "hunter2-canary"; };
    error = [ "members.x.inputs.password: must be a reference to a secret" ];
    absent = [ "hunter2" ];
  };

  enumKeepsQuiet = {
    expr = role { deletionPolicy = "hunter2-canary"; };
    error = [ "members.x.inputs.deletionPolicy: no such value; known: retain, delete" ];
    absent = [ "hunter2" ];
  };

  inputsOfTheWrongType = {
    expr = (thing "text").inputs;
    error = [ "members.x.inputs: must be an attribute set with any, atMost, deep," ];
  };

  memberAsInput = {
    expr =
      (unknown (
        { members, providers, ... }:
        {
          members.a.type = providers.probe.thing;
          members.b = {
            type = providers.probe.thing;
            inputs.any = members.a;
          };
        }
      )).members.b.resource.inputs;
    error = [
      "members.b.inputs.any: is the member a itself (take one of its outputs: members.NAME.outputs.OUTPUT)"
    ];
  };

  memberAsSecret = {
    expr =
      (unknown (
        { members, providers, ... }:
        {
          members.a.type = providers.probe.thing;
          members.b = {
            type = providers.postgresql.role;
            inputs = {
              inherit connection;
              name = "b";
              password = members.a;
            };
          };
        }
      )).members.b.resource.inputs;
    error = [
      "members.b.inputs.password: must be a reference to a secret"
      "but is the member a itself"
    ];
  };

  # -- outputs

  # A missing attribute is Nix's own error: it names the output and the place.
  unknownOutput = {
    expr =
      (unknown (
        { members, providers, ... }:
        {
          members.a.type = providers.probe.thing;
          members.b = {
            type = providers.probe.thing;
            inputs.any = members.a.outputs.txet;
          };
        }
      )).members.b.resource.inputs;
    error = [
      "txet"
      "missing"
    ];
  };

  outputsOfAComponent = {
    expr =
      (unknown (
        { members, providers, ... }:
        {
          members.a.members = {
            one.members = { };
            two.members = { };
          };
          members.b = {
            type = providers.probe.thing;
            inputs.any = members.a.outputs.text;
          };
        }
      )).members.b.resource.inputs;
    error = [ "members.a: has no outputs, it is a component; its members: one, two" ];
  };

  membersOfAResource = {
    expr =
      (unknown (
        { members, providers, ... }:
        {
          members.a.type = providers.probe.thing;
          members.b = {
            type = providers.probe.thing;
            inputs.any = members.a.members.x;
          };
        }
      )).members.b.resource.inputs;
    error = [ "members.a: has no members, it is a resource" ];
  };

  # -- definitions

  unknownAttribute = {
    expr =
      (unknown (
        { providers, ... }:
        {
          members.a = {
            type = providers.probe.thing;
            input = { };
          };
        }
      )).members.a.resource;
    error = [ "members.a.input: a resource has no such attribute; did you mean `inputs`?" ];
  };

  bothKinds = {
    expr =
      (unknown (
        { providers, ... }:
        {
          members.a = {
            type = providers.probe.thing;
            members = { };
          };
        }
      )).members.a.resource;
    error = [ "members.a.members: a resource has no such attribute" ];
  };

  inputsWithoutType = {
    expr = (unknown { members.a.inputs = { }; }).members.a;
    error = [ "members.a: needs `type` (a resource) or `members` (a component); has: inputs" ];
  };

  rootWithoutMembers = {
    expr = unknown { member = { }; };
    error = [ "root: needs `type` (a resource) or `members` (a component); has: member" ];
  };

  notADefinition = {
    expr = (unknown { members.a = 3; }).members.a;
    error = [ "members.a: must be an attribute set with `type`" ];
  };

  memberAsDefinition = {
    expr =
      (unknown (
        { members, providers, ... }:
        {
          members.a.type = providers.probe.thing;
          members.b = members.a;
        }
      )).members.b;
    error = [ "members.b: is the member a itself" ];
  };

  typeAsString = {
    expr = (unknown { members.a.type = "postgresql_role"; }).members.a.resource.type;
    error = [
      "members.a.type: must be a kind of a provider, as in `providers.postgresql.role`, but is a string. Providers: postgresql, probe, secrets, state"
    ];
  };

  emptyName = {
    expr = run (lib.mkRoot (arguments // { name = " "; }) application) { };
    error = [ "mkRoot: name: must not be empty" ];
  };

  nameOfTheWrongType = {
    expr = run (lib.mkRoot (arguments // { name = 1; }) application) { };
    error = [ "mkRoot: name: must be a string, but is an integer" ];
  };

  # -- schemas that Nix cannot follow

  schemaNotSupported = {
    expr = run (lib.mkRoot
      (
        arguments
        // {
          extraProviders.odd = {
            executable = "odd";
            kinds.odd.inputs = {
              type = "object";
              properties.x.allOf = [ { type = "string"; } ];
            };
          };
        }
      )
      (
        { providers, ... }: {
          members.x = {
            type = providers.odd.odd;
            inputs.x = "x";
          };
        }
      )
    ) { };
    error = [ "schema: allOf is not supported by nixops4/lib/schema.nix" ];
  };

  schemaAmbiguous = {
    expr = (import ../../nixops4/lib/schema.nix).read {
      anyOf = [
        { type = "string"; }
        { enum = [ "x" ]; }
      ];
    };
    error = [ "schema: a choice between shapes of the same type is not supported" ];
  };
}

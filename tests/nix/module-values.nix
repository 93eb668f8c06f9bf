# What authors set with upstream's module system: in one place and in several, in
# mkIf and the like, by functions.
let
  inherit (import ./ways.nix)
    each
    gives
    nixpkgsLib
    plainThing
    refused
    resources
    thing
    ;
  inherit (nixpkgsLib)
    mkBefore
    mkDefault
    mkForce
    mkIf
    mkMerge
    mkOption
    types
    ;
  inherit (import ./fixpoint.nix) tried;
in
each {
  # -- in one place

  conditional =
    gives
      (plainThing {
        flag = mkIf true false;
        zone = mkIf false "a";
        size = mkIf false 7;
        maybeNames = mkMerge [
          [ "a" ]
          (mkIf false [ "b" ])
          (mkIf true [ "c" ])
        ];
      })
      {
        flag = false;
        maybeNames = [
          "a"
          "c"
        ];
      };

  conditionalWithin =
    gives
      (plainThing {
        deep.inner.value = mkIf false 3;
        labels = mkIf true {
          a = mkForce "x";
        };
        weights.one.weight = mkMerge [
          (mkDefault 1)
          2
        ];
        open = {
          known = mkIf true false;
          other = mkMerge [ { a = 1; } ];
        };
        rules = [
          (mkIf false { from = "a"; })
          { from = mkForce "b"; }
        ];
        any = {
          list = [ 1 ];
          set.value = mkForce 2;
        };
      })
      {
        labels.a = "x";
        weights.one = {
          weight = 2;
          note = null;
        };
        open = {
          known = false;
          other.a = 1;
        };
        rules = [
          {
            from = "b";
            ports = [ 80 ];
            secret = null;
          }
        ];
        any = {
          list = [ 1 ];
          set.value = 2;
        };
      };

  priority =
    gives
      (plainThing {
        zone = mkForce "a";
        atMost = mkDefault 2;
        owner = mkForce "somebody";
      })
      {
        zone = "a";
        atMost = 2;
        owner = "somebody";
      };

  ownerConditional = gives (plainThing { owner = mkIf false "somebody"; }) { };

  conditionalInputs = gives (plainThing (mkIf true { zone = "a"; })) { zone = "a"; };

  inputsFunction = gives (plainThing (_: { ... }: { zone = "a"; })) { zone = "a"; };

  inputsModule =
    gives
      (plainThing (
        _:
        { config, ... }:
        {
          config = {
            zone = "a";
            word = config.zone;
          };
        }
      ))
      {
        zone = "a";
        word = "a";
      };

  inputsModuleWithOption =
    gives
      (plainThing (
        _:
        { config, ... }:
        {
          options.short = mkOption { type = types.str; };
          config.word = config.short;
          config.short = "s";
        }
      ))
      {
        word = "s";
        short = "s";
      };

  functionWithin = gives (plainThing {
    deep = { ... }: { inner.value = 4; };
  }) { deep.inner.value = 4; };

  outputs =
    gives
      (plainThing (members: {
        atMost = members.first.outputs.number;
        maybeNames = members.first.outputs.names;
        zone = members.first.outputs.nothing;
      }))
      {
        atMost = 3;
        maybeNames = [ "x" ];
      };

  # One input that is not known leaves the others alone, and so does one in a set.
  unknownOutput =
    way:
    let
      inputs =
        (resources way [
          (
            { members, providers, ... }:
            {
              members.second.type = providers.probe.thing;
              members.x = {
                type = providers.probe.thing;
                inputs = {
                  zone = members.second.outputs.text;
                  labels = {
                    a = "a";
                    b = members.second.outputs.text;
                  };
                };
              };
            }
          )
        ]).x.inputs;
    in
    {
      expr = [
        inputs.size
        inputs.labels.a
        (tried inputs.zone)
        (tried inputs.labels.b)
      ];
      expected = [
        "1G"
        "a"
        "<throws>"
        "<throws>"
      ];
    };

  # -- in several places

  merged =
    gives
      (thing [
        {
          inputs.labels.a = "a";
          inputs.deep.inner = { };
          inputs.maybeNames = [ "second" ];
          inputs.zone = mkDefault "a";
          inputs.word = "same";
        }
        {
          inputs.labels.b = "b";
          inputs.deep.inner.value = 9;
          inputs.maybeNames = mkBefore [ "first" ];
          inputs.zone = "b";
          inputs.word = "same";
          inputs.any.one = 1;
        }
        (mkIf true { inputs.any.two = 2; })
      ])
      {
        labels = {
          a = "a";
          b = "b";
        };
        deep.inner.value = 9;
        maybeNames = [
          "first"
          "second"
        ];
        zone = "b";
        word = "same";
        any = {
          one = 1;
          two = 2;
        };
      };

  memberModule = gives (thing [ { imports = [ { inputs.zone = "a"; } ]; } ]) { zone = "a"; };

  conflict = refused (thing [
    { inputs.zone = "a"; }
    { inputs.zone = "b"; }
  ]) [ "members.x.inputs.zone" "conflicting definition values" ] [ ];

  mergedRefused =
    refused
      (thing [
        { inputs.deep.inner.value = 1; }
        { inputs.deep.inner.value = mkForce "1"; }
      ])
      [
        "members.x.inputs.deep.inner.value: must be an integer, but is a string"
        "author.nix"
      ]
      [ ];

  mergedRefusedAsAWhole =
    refused
      (thing [
        { inputs.labels.a = "a"; }
        { inputs.labels = "canary"; }
      ])
      [
        "members.x.inputs.labels: must be an attribute set, but is a string"
        "author.nix"
      ]
      [ "canary" ];
}

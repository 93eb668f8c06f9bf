# What a mistake looks like with upstream's module system: it names the input and
# the file, and never the value that was given.
let
  inherit (import ./ways.nix)
    each
    exportOf
    nixpkgsLib
    plainThing
    refused
    resources
    role
    runWith
    ;
  inherit (nixpkgsLib) mkIf;
in
each {
  # -- outputs are checked, too

  outputOfTheWrongType = way: {
    expr =
      (runWith { first.number = "canary"; } way [
        (
          { members, providers, ... }:
          {
            members.first.type = providers.probe.thing;
            members.x = {
              type = providers.probe.thing;
              inputs.any = members.first.outputs.number;
            };
          }
        )
      ]).members.x.resource.inputs.any;
    error = [ "members.first.outputs.number: must be an integer, but is a string" ];
    absent = [ "canary" ];
  };

  outputThatNoneDeclares = way: {
    expr =
      (resources way [
        (
          { members, providers, ... }:
          {
            members.first.type = providers.probe.thing;
            members.x = {
              type = providers.probe.thing;
              inputs.any = members.first.outputs.txet;
            };
          }
        )
      ]).x.inputs.any;
    error = [ "txet" ];
  };

  # -- upstream is the one that plain-members.nix knows: its words are not those
  # of the module system

  memberIsPlain = way: {
    expr = (plainThing { sizze = 1; } way).inputs;
    error =
      if way == "plain" then
        [
          "members.x.inputs.sizze: no such input; did you mean `size`?"
          "author.nix"
        ]
      else
        [
          "The option `members.x.inputs.sizze' does not exist"
          "members.x.inputs.size"
          "author.nix"
        ];
  };

  memberBelowIsPlain = way: {
    expr =
      (exportOf way [
        (
          { providers, ... }:
          {
            members.outer =
              { ... }:
              {
                members.x = {
                  type = providers.probe.thing;
                  inputs.sizze = 1;
                };
              };
          }
        )
      ]).members.outer.members.x.resource.inputs;
    error =
      if way == "plain" then
        [ "members.outer.members.x.inputs.sizze: no such input; did you mean `size`?" ]
      else
        [ "The option `members.outer.members.x.inputs.sizze' does not exist" ];
  };

  outputIsPlain = way: {
    expr =
      (runWith { first.text = mkIf false "t"; } way [
        (
          { members, providers, ... }:
          {
            members.first.type = providers.probe.thing;
            members.x = {
              type = providers.probe.thing;
              inputs.any = members.first.outputs.text;
            };
          }
        )
      ]).members.x.resource.inputs.any;
    error =
      if way == "plain" then
        [ "members.first.outputs.text: must be a string, but is an attribute set" ]
      else
        [ "The option `members.first.outputs.text' was accessed but has no value defined" ];
  };

  # -- mistakes name the input and the file

  wrongType =
    refused (plainThing { deep.inner.value = "canary"; })
      [
        "members.x.inputs.deep.inner.value: must be an integer, but is a string"
        "author.nix"
      ]
      [ "canary" ];

  wrongTypeConditional =
    refused (plainThing { deep.inner = mkIf true { value = "canary"; }; })
      [
        "members.x.inputs.deep.inner.value: must be an integer, but is a string"
        "author.nix"
      ]
      [ "canary" ];

  wrongItem =
    refused
      (plainThing {
        rules = [
          {
            from = "a";
            ports = [
              1
              0
            ];
          }
        ];
      })
      [
        "members.x.inputs.rules.0.ports.1: must be at least 1, but is 0"
        "author.nix"
      ]
      [ ];

  unknownWithin =
    refused (plainThing { deep.inner.vlaue = 1; })
      [
        "members.x.inputs.deep.inner.vlaue: no such input; did you mean `value`?"
        "author.nix"
      ]
      [ ];

  missingWithin =
    refused (plainThing { rules = [ { ports = [ ]; } ]; })
      [
        "members.x.inputs.rules.0.from: is required but not set. Source."
        "author.nix"
      ]
      [ ];

  memberAsInput =
    refused
      (plainThing (members: {
        any = members.first;
      }))
      [
        "members.x.inputs.any: is the member first itself"
        "author.nix"
      ]
      [ ];

  missing = way: {
    expr = role { name = mkIf false "app"; } way;
    error = [ "members.x.inputs.name" ];
  };

  secretInClear = way: {
    expr = role { password = "canary"; } way;
    error = [
      "members.x.inputs.password: must be a reference to a secret"
      "author.nix"
    ];
    absent = [ "canary" ];
  };

  notInEnum = way: {
    expr = role { deletionPolicy = "retian"; } way;
    error = [
      "members.x.inputs.deletionPolicy: no such value; did you mean `retain`?"
      "author.nix"
    ];
  };
}

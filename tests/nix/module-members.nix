# What a member may be with upstream's module system, and what others see of it.
let
  inherit (import ./ways.nix)
    defaults
    each
    exportOf
    nixpkgsLib
    provider
    resources
    ;
  inherit (nixpkgsLib)
    mkDefault
    mkForce
    mkOption
    types
    ;
in
each {
  # -- what else a member may be

  wholeResource = way: {
    expr =
      (resources way [
        (
          { members, providers, ... }:
          {
            members.state = {
              type = providers.state.sqlite;
              inputs.path = "/state";
            };
            members.x = {
              type = providers.secrets.password;
              state = members.state;
              inputs.name = "x";
            };
          }
        )
      ]).x
      // {
        inputs = null;
        outputsSkeleton = null;
      };
    expected = {
      inputs = null;
      outputsSkeleton = null;
      provider = {
        args = [ ];
        executable = "nixops4-resources-secrets";
        type = "stdio";
      };
      state = [ "state" ];
      type = "secrets_password";
    };
  };

  # Of a member one may ask whatever upstream's has.
  view = way: {
    expr =
      (resources way [
        (
          { members, providers, ... }:
          {
            members.first.type = providers.probe.thing;
            members.y = {
              type = providers.probe.thing;
              inputs.zone = "a";
            };
            members.x = {
              type = providers.probe.thing;
              inputs.any = {
                inherit (members.y)
                  members
                  outputsSkeleton
                  provider
                  requireState
                  resourceType
                  state
                  ;
                inherit (members.y.inputs) zone size;
                type = members.y.type.type;
                path = members.y.absoluteMemberPath;
                export = members.y._export.resource.type;
                names = builtins.attrNames members.y;
              };
            };
          }
        )
      ]).x.inputs.any;
    expected = {
      path = [ "y" ];
      export = "probe_thing";
      members = { };
      names = [
        "_export"
        "_resourceForNixOps"
        "absoluteMemberPath"
        "inputs"
        "members"
        "outputs"
        "outputsSkeleton"
        "provider"
        "providers"
        "requireState"
        "resourceType"
        "state"
        "type"
      ];
      outputsSkeleton = {
        names = { };
        nothing = { };
        number = { };
        text = { };
      };
      provider = {
        args = [ ];
        executable = "nixops4-resources-probe";
        type = "stdio";
      };
      requireState = false;
      resourceType = "probe_thing";
      size = "1G";
      state = null;
      type = "probe_thing";
      zone = "a";
    };
  };

  nested = way: {
    expr =
      (exportOf way [
        (
          { providers, ... }:
          {
            members.outer =
              { members, ... }:
              {
                members.keeper = {
                  type = providers.state.sqlite;
                  inputs.path = "/state";
                };
                members.inner.members.x = {
                  type = providers.probe.thing;
                  state = members.keeper;
                  inputs.any = members.keeper.absoluteMemberPath;
                };
              };
          }
        )
      ]).members.outer.members.inner.members.x.resource;
    expected = defaults way // {
      inputs = (defaults way).inputs // {
        any = [
          "outer"
          "keeper"
        ];
      };
      state = [
        "outer"
        "keeper"
      ];
    };
  };

  # Where it is from the root is told by the root alone.
  importedBelow = way: {
    expr =
      (exportOf way [
        {
          members.outer =
            { members, providers, ... }:
            {
              imports = [ (import ../../default.nix).modules.nixops4Component.default ];
              deployment = "inner";
              members.keeper = {
                type = providers.state.sqlite;
                inputs.path = "/state";
              };
              members.x = {
                type = providers.state.sqlite;
                state = members.keeper;
                inputs.path = "/other";
              };
            };
        }
      ]).members.outer.members.x.resource;
    expected = {
      inputs = {
        deployment = "inner";
        path = "/other";
      };
      outputsSkeleton = { };
      provider = {
        args = [ ];
        executable = "nixops4-resources-state";
        type = "stdio";
      };
      state = [
        "outer"
        "keeper"
      ];
      type = "state_sqlite";
    };
  };

  # Somebody extends every member, and a kind.
  extendedMembers = way: {
    expr =
      (resources way [
        (
          { providers, ... }:
          {
            options.members = mkOption {
              type = types.lazyAttrsOf (
                types.submoduleWith {
                  modules = [ { config.inputs.zone = mkDefault "everywhere"; } ];
                }
              );
            };
            config.members.x.type = providers.probe.thing;
            config.members.y = {
              type = providers.probe.thing;
              inputs.zone = "a";
            };
          }
        )
      ]).x.inputs.zone;
    expected = "everywhere";
  };

  extendedKind = way: {
    expr =
      (resources way [
        (
          { providers, ... }:
          {
            providers.probe.resourceTypes.thing.inputs = {
              options.more = mkOption { type = types.str; };
              config.zone = "kind";
            };
            members.x = {
              type = providers.probe.thing;
              inputs.more = "m";
            };
          }
        )
      ]).x.inputs;
    expected = (defaults way).inputs // {
      zone = "kind";
      more = "m";
    };
  };

  otherAttributes = way: {
    expr =
      (resources way [
        (
          { providers, ... }:
          {
            members.x = {
              type = providers.probe.thing;
              provider.args = [ "--verbose" ];
              resourceType = mkForce "other_thing";
            };
          }
        )
      ]).x;
    expected = defaults way // {
      type = "other_thing";
      provider = (defaults way).provider // {
        args = [ "--verbose" ];
      };
    };
  };

  stateAsPath = way: {
    expr =
      (resources way [
        (
          { providers, ... }:
          {
            members.x = {
              type = providers.probe.thing;
              state = mkForce [
                "other"
                "state"
              ];
            };
          }
        )
      ]).x.state;
    expected = [
      "other"
      "state"
    ];
  };

  stateThatIsNone = way: {
    expr =
      (resources way [
        (
          { members, providers, ... }:
          {
            members.x = {
              type = providers.probe.thing;
              state = "canary";
            };
          }
        )
      ]).x.state;
    error = [ "members.x.state" ];
  };

  unknownAttribute = way: {
    expr =
      (resources way [
        (
          { providers, ... }:
          {
            members.x = {
              type = providers.probe.thing;
              inptus = { };
            };
          }
        )
      ]).x.inputs;
    error = [
      "members.x.inptus"
      "members.x.inputs"
    ];
  };
}

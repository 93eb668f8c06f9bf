# Members made of upstream's modules and our kinds, for the cases about them.
#
# Each case runs in two ways: with plain-members.nix, as components/default.nix
# has it, and with nothing but the provider modules.
let
  nixops4 = import ../../flake-compat.nix { };
  nixpkgsLib = import ((import ../../npins).nixpkgs-lib.outPath + "/lib");
  inherit (import ./fixpoint.nix) run;
  providerModule = import ../../nixops4/lib/provider-module.nix;
  provider = name: {
    imports = [ (providerModule (./fixtures/schemas + "/${name}.json")) ];
    deployment = "demo";
  };
  providers = {
    probe = provider "probe";
    postgresql = provider "postgresql";
    secrets = provider "secrets";
    state = provider "state";
  };

  ways = {
    plain = [
      { inherit providers; }
      ../../nixops4/lib/plain-members.nix
    ];
    typed = [ { inherit providers; } ];
  };

  table.first = {
    number = 3;
    text = "t";
    names = [ "x" ];
    nothing = null;
  };

  # The export of a root of these modules, given its outputs.
  runWith =
    table: way: modules:
    run (nixops4.lib.mkRoot { modules = ways.${way} ++ modules; }) table;
  exportOf = runWith table;
  resources =
    way: modules: builtins.mapAttrs (_: member: member.resource) (exportOf way modules).members;

  # Member `x` of the kind probe.thing, made of these modules of it.
  thing =
    definitions: way:
    (resources way (
      map (
        definition:
        { providers, ... }@arguments:
        {
          _file = "author.nix";
          members.x = if builtins.isFunction definition then definition arguments else definition;
          members.first.type = providers.probe.thing;
        }
      ) ([ ({ providers, ... }: { type = providers.probe.thing; }) ] ++ definitions)
    )).x;

  # The same in one plain set, which needs no module system.
  plainThing =
    inputs: way:
    (resources way [
      (
        { members, providers, ... }:
        {
          _file = "author.nix";
          members.x = {
            type = providers.probe.thing;
            inputs = if builtins.isFunction inputs then inputs members else inputs;
          };
          members.first.type = providers.probe.thing;
        }
      )
    ]).x;

  role =
    inputs: way:
    (resources way [
      (
        { providers, ... }:
        {
          _file = "author.nix";
          members.x = {
            type = providers.postgresql.role;
            inputs = {
              name = "app";
              connection.host = "db";
            }
            // inputs;
          };
        }
      )
    ]).x.inputs;

  defaults = plainThing { };

  # Cases as functions of the way, made into one for each.
  each =
    cases:
    builtins.listToAttrs (
      builtins.concatLists (
        map (
          way:
          map (name: {
            name = "${name}-${way}";
            value = cases.${name} way;
          }) (builtins.attrNames cases)
        ) (builtins.attrNames ways)
      )
    );

  # The inputs that a thing has if these differ from its defaults.
  gives = thingOf: changed: way: {
    expr = (thingOf way).inputs;
    expected = (defaults way).inputs // changed;
  };
  refused = thingOf: error: absent: way: {
    expr = (thingOf way).inputs;
    inherit error absent;
  };
in
{
  inherit
    defaults
    each
    exportOf
    gives
    nixpkgsLib
    plainThing
    provider
    refused
    resources
    role
    runWith
    thing
    ;
}

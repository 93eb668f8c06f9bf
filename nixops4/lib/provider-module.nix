# Turns a description (schemas/NAME.json) into a provider module of upstream's:
#
#   import ./provider-module.nix ../../schemas/postgresql.json
#
# Options, types, defaults and texts are the schema's. What a schema means is
# for schema.nix to say: `root.nix` must fill in the same inputs.
descriptionFile:
let
  schema = import ./schema.nix;
  description = builtins.fromJSON (builtins.readFile descriptionFile);
in
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  inherit (import ./types.nix { inherit lib; }) complete optionsModule;

  resourceType =
    wireType: kind:
    let
      inputs = schema.read kind.inputs;
      outputs = schema.read kind.outputs;
      completeInputs = complete inputs;
      deployment = lib.optionalAttrs (config.deployment != null) (
        lib.genAttrs (schema.deploymentInputs kind) (_: config.deployment)
      );
      deploymentOr =
        name: value:
        lib.mkMerge [
          (lib.mkDefault deployment.${name})
          value
        ];
    in
    {
      inherit (kind) description;
      # Upstream's default is the attribute's name.
      type = lib.mkForce wireType;
      requireState = kind.state == "required";
      inputs = {
        _file = "${toString descriptionFile}, inputs of ${wireType}";
        imports = [ (optionsModule inputs) ];
        config = lib.mapAttrs (_: lib.mkDefault) deployment;
      };
      outputs = {
        _file = "${toString descriptionFile}, outputs of ${wireType}";
        imports = [ (optionsModule outputs) ];
      };
      completeOutputs = lib.mapAttrs (_: complete) (outputs.properties or { });
      completeInputs =
        place: set:
        completeInputs place (
          deployment // set // lib.mapAttrs deploymentOr (builtins.intersectAttrs deployment set)
        );
    };
in
{
  _class = "nixops4Provider";
  _file = toString ./provider-module.nix;

  # Extends upstream's.
  options.resourceTypes = mkOption {
    type = types.lazyAttrsOf (
      types.submoduleWith {
        modules = [
          {
            options.completeInputs = mkOption {
              type = types.raw;
              internal = true;
              description = "What `inputs` makes of a plain set, without the module system: a function of a place and the set.";
            };
            options.completeOutputs = mkOption {
              type = types.raw;
              internal = true;
              description = "The same of `outputs`, for each of them: functions of a place and a value.";
            };
          }
        ];
      }
    );
  };

  options.deployment = mkOption {
    type = types.nullOr types.str;
    default = null;
    example = "demo";
    description = ''
      Name of the deployment. It becomes the input `owner` (of a state kind: `deployment`) of every resource that does not set it.

      While this is null, each resource has to set it.
    '';
  };

  config = {
    name = lib.mkDefault description.name;
    description = lib.mkDefault description.description;
    sourceName = lib.mkDefault "nixops4-resources";
    # Found through PATH.
    executable = lib.mkDefault description.executable;
    resourceTypes = lib.mapAttrs' (
      wireType: kind:
      lib.nameValuePair (schema.kindName description.name wireType) (resourceType wireType kind)
    ) description.kinds;
  };
}

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

  typeOf =
    shape:
    let
      inner = typesByKind.${shape.kind} shape;
    in
    if shape.nullable && shape.kind != "any" then types.nullOr inner else inner;

  inRange =
    type: shape:
    let
      text =
        if shape.maximum == null then
          "at least ${toString shape.minimum}"
        else if shape.minimum == null then
          "at most ${toString shape.maximum}"
        else
          "between ${toString shape.minimum} and ${toString shape.maximum}";
    in
    if shape.minimum == null && shape.maximum == null then
      type
    else
      types.addCheck type (
        value:
        (shape.minimum == null || value >= shape.minimum)
        && (shape.maximum == null || value <= shape.maximum)
      )
      // {
        description = "${type.description}, ${text}";
      };

  typesByKind = {
    any = _: types.anything;
    boolean = _: types.bool;
    string =
      shape:
      if shape.pattern == null then
        types.str
      else
        types.addCheck types.str (schema.fits shape)
        // {
          description = "string matching ${shape.pattern}";
        };
    integer = inRange types.int;
    number = inRange types.number;
    enum = shape: types.enum shape.values;
    list = shape: types.listOf (typeOf shape.item);
    # Lazy: one value that is not known yet leaves the others alone.
    map = shape: types.lazyAttrsOf (typeOf shape.item);
    object = shape: types.submodule (optionsModule shape // (lib.optionalAttrs shape.open freeform));
    union = shape: types.oneOf (map typeOf shape.alternatives);
  };

  freeform = {
    freeformType = types.lazyAttrsOf types.anything;
  };

  # No default where nobody fills it in: then the author must set it.
  optionsModule = shape: {
    options = lib.mapAttrs (
      _: property:
      mkOption {
        type = typeOf property;
        inherit (property) description;
      }
      // lib.optionalAttrs (property.default != { }) { default = property.default.value; }
    ) (shape.properties or { });
  };

  deploymentDefaults =
    kind:
    lib.optionalAttrs (config.deployment != null) (
      lib.genAttrs (schema.deploymentInputs kind) (_: lib.mkDefault config.deployment)
    );

  resourceType = wireType: kind: {
    inherit (kind) description;
    # Upstream's default is the attribute's name.
    type = lib.mkForce wireType;
    requireState = kind.state == "required";
    inputs = {
      _file = "${toString descriptionFile}, inputs of ${wireType}";
      imports = [ (optionsModule (schema.read kind.inputs)) ];
      config = deploymentDefaults kind;
    };
    outputs = {
      _file = "${toString descriptionFile}, outputs of ${wireType}";
      imports = [ (optionsModule (schema.read kind.outputs)) ];
    };
  };
in
{
  _class = "nixops4Provider";
  _file = toString ./provider-module.nix;

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

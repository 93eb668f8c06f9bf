# What the JSON Schemas in `schemas/` mean to Nix.
#
# One reading for both ways: `root.nix` (without nixpkgs) and
# `provider-module.nix` (upstream's modules) must agree on what is optional,
# what is filled in, and with what. Knows nothing of members, providers or the
# module system.
#
# A schema becomes a shape:
#
#   kind         any, boolean, integer, number, string, enum, list, map, object
#                or union
#   nullable     whether null is a value of it
#   description  one paragraph for people, or ""
#   default      { } or { value = ...; }
#   values       enum: the values
#   minimum, maximum
#                integer, number: a bound, or null
#   pattern      string: what all of it must match (an extended regular
#                expression of Nix's), or null
#   item         list, map: the shape of each element
#   properties   object: shapes by name
#   mandatory    object: the names that must be given, sorted
#   open         object: whether other names are let through as they are
#   alternatives union: shapes, of which no two accept the same Nix type
#
# Whatever else a schema demands (lengths, patterns that Nix cannot read) is for
# the provider, and for the command before it starts one, to check.
let
  inherit (builtins)
    all
    attrNames
    concatMap
    elem
    elemAt
    filter
    head
    isBool
    isList
    length
    mapAttrs
    match
    stringLength
    toJSON
    ;

  asList = type: if isList type then type else [ type ];

  isNull = schema: schema ? type && asList schema.type == [ "null" ];

  base = schema: {
    nullable = false;
    description = schema.description or "";
    default = if schema ? default then { value = schema.default; } else { };
  };

  unsupported =
    schema: what: throw "schema: ${what} is not supported by nixops4/lib/schema.nix: ${toJSON schema}";

  refuse =
    schema: shape:
    let
      found = filter (keyword: schema ? ${keyword}) [
        "$ref"
        "allOf"
        "not"
        "if"
        "patternProperties"
        "exclusiveMinimum"
        "exclusiveMaximum"
        "prefixItems"
      ];
    in
    if found == [ ] then shape else unsupported schema (head found);

  read =
    schema:
    if isBool schema then
      if schema then readKind { } else unsupported schema "a schema that accepts nothing"
    else
      refuse schema (readKind schema);

  readKind =
    schema:
    if schema ? anyOf then
      readAlternatives schema schema.anyOf
    else if schema ? oneOf then
      readAlternatives schema schema.oneOf
    else if schema ? const then
      readEnum schema [ schema.const ]
    else if schema ? enum then
      readEnum schema schema.enum
    else if schema ? type then
      readTypes schema (asList schema.type)
    else
      base schema
      // {
        kind = "any";
        nullable = true;
      };

  readEnum =
    schema: values:
    base schema
    // {
      kind = "enum";
      nullable = elem null values;
      values = filter (value: value != null) values;
    };

  # What is said beside `anyOf` (description, default) is said of the whole.
  readAlternatives =
    schema: alternatives:
    let
      rest = filter (alternative: !isNull alternative) alternatives;
      shapes = map read rest;
      whole =
        shape:
        shape
        // {
          nullable = length rest < length alternatives || shape.nullable;
          description = schema.description or shape.description;
          default = if schema ? default then { value = schema.default; } else shape.default;
        };
    in
    if all (alternative: alternative ? const || alternative ? enum) rest then
      readEnum schema (
        concatMap (alternative: alternative.enum or [ alternative.const ]) rest
        ++ (if length rest < length alternatives then [ null ] else [ ])
      )
    else if length shapes == 1 then
      whole (head shapes)
    else
      whole (readUnion schema shapes);

  readTypes =
    schema: types:
    let
      # Every integer is a number.
      covered = type: type == "null" || type == "integer" && elem "number" types;
      rest = filter (type: !covered type) types;
      shapes = map (type: readType (schema // { inherit type; })) rest;
      nullable = elem "null" types;
    in
    if length shapes == 1 then
      head shapes // { inherit nullable; }
    else
      readUnion schema shapes // { inherit nullable; };

  readType =
    schema:
    base schema
    // (
      if schema.type == "boolean" then
        { kind = "boolean"; }
      else if schema.type == "string" then
        {
          kind = "string";
          pattern = if schema ? pattern then readPattern schema.pattern else null;
        }
      else if
        elem schema.type [
          "integer"
          "number"
        ]
      then
        {
          kind = schema.type;
          minimum = schema.minimum or null;
          maximum = schema.maximum or null;
        }
      else if schema.type == "array" then
        {
          kind = "list";
          item = read (schema.items or true);
        }
      else if schema.type == "object" then
        readObject schema
      else
        unsupported schema "the type ${toJSON schema.type}"
    );

  # JSON Schema has ECMAScript's expressions, which match anywhere; Nix has
  # POSIX's, which match the whole. What means the same in both is taken over.
  readPattern =
    pattern:
    let
      anchored = match "\\^([^|\\\\]*)\\$" pattern;
      foreign = match ".*([*+?}][?]|[(][?]).*" pattern;
    in
    if anchored != null && foreign == null then head anchored else null;

  # Whether a string fits its shape. Of very long ones the provider is to judge:
  # Nix's matching takes stack for each character.
  fits =
    shape: text: shape.pattern == null || stringLength text > 1000 || match shape.pattern text != null;

  readObject =
    schema:
    let
      rest = schema.additionalProperties or true;
      properties = mapAttrs (_: read) (schema.properties or { });
      required = schema.required or [ ];
    in
    if !(schema ? properties) && rest != false then
      {
        kind = "map";
        item = read rest;
      }
    else if !isBool rest then
      unsupported schema "a schema for properties beside named ones"
    else
      {
        kind = "object";
        properties = mapAttrs (
          name: shape: shape // { default = absent (elem name required) shape; }
        ) properties;
        mandatory = filter (name: absent (elem name required) properties.${name} == { }) (
          attrNames properties
        );
        open = rest;
      };

  # What a property is when nobody sets it: { value = ...; }, or { } if
  # somebody must.
  absent =
    required: shape:
    if shape.default != { } || required then
      shape.default
    else if shape.nullable then
      { value = null; }
    else if shape.kind == "object" && shape.mandatory == [ ] then
      { value = { }; }
    else
      { };

  # The Nix types (builtins.typeOf) that a shape accepts, null aside.
  nixTypes =
    shape:
    {
      any = unsupported shape "anything among alternatives";
      boolean = [ "bool" ];
      integer = [ "int" ];
      number = [
        "int"
        "float"
      ];
      string = [ "string" ];
      enum = map builtins.typeOf shape.values;
      list = [ "list" ];
      map = [ "set" ];
      object = [ "set" ];
      union = concatMap nixTypes shape.alternatives;
    }
    .${shape.kind};

  readUnion =
    schema: shapes:
    let
      indices = builtins.genList (index: index) (length shapes);
      overlapping = filter (
        index:
        builtins.any (
          other:
          other < index
          && builtins.any (type: elem type (nixTypes (elemAt shapes other))) (nixTypes (elemAt shapes index))
        ) indices
      ) indices;
    in
    if overlapping != [ ] then
      unsupported schema "a choice between shapes of the same type"
    else
      base schema
      // {
        kind = "union";
        alternatives = shapes;
      };

  startsWith = prefix: text: builtins.substring 0 (builtins.stringLength prefix) text == prefix;

  # "postgresql_role" of provider "postgresql" is `providers.postgresql.role`.
  kindName =
    provider: wireType:
    let
      prefix = "${provider}_";
    in
    if startsWith prefix wireType then
      builtins.substring (builtins.stringLength prefix) (-1) wireType
    else
      wireType;

  # The input that carries the deployment's name, as a list of none or one.
  # Kinds that list no requests are not of this suite's making: theirs to name.
  deploymentInputs =
    kind:
    let
      input = if kind.state or "optional" == "never" then "deployment" else "owner";
    in
    if kind ? requests && kind.inputs.properties or { } ? ${input} then [ input ] else [ ];
in
{
  inherit
    deploymentInputs
    fits
    kindName
    nixTypes
    read
    ;
}

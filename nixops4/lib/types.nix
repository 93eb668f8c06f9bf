# Option types of the module system for the shapes of schema.nix.
#
# A value that is set in one place, which is nearly every one, is checked and
# completed in one pass by complete.nix, as `root.nix` does it: nested
# submodules would cost more time than all of the rest of an evaluation. What
# several modules set, or put into mkIf and the like, the types of nixpkgs merge
# level by level, down to where one value is left. Those types are also what
# documentation is made from.
{ lib }:
let
  inherit (lib) mkOption types;
  inherit (builtins)
    all
    elem
    filter
    head
    isAttrs
    isFunction
    isList
    length
    mapAttrs
    ;
  inherit (import ./complete.nix) completeWith;
  inherit (import ./schema.nix) fits;

  complete = completeWith {
    stands =
      value:
      isAttrs value
      && value ? _type
      && elem value._type [
        "definition"
        "if"
        "merge"
        "order"
        "override"
      ];

    resolve =
      shape: default: place: value:
      let
        unset = lib.optionals (default != { }) (definition place (lib.mkOptionDefault default.value));
      in
      (lib.mergeDefinitions place.loc (typeOf shape) (unset ++ definition place value)).mergedValue;

    merge =
      shape: place: value:
      if shape.kind == "any" && !isAttrs value && !isList value && !isFunction value then
        value
      else
        (nixpkgsType shape).merge place.loc (definition place value);
  };

  definition = place: value: [
    {
      inherit (place) file;
      inherit value;
    }
  ];

  typeOf =
    shape:
    let
      type = nixpkgsType shape;
      completeValue = complete shape;
      completeAt =
        loc: set:
        completeValue {
          inherit loc;
          inherit (set) file;
        } set.value;
      itself = type // {
        # Left to `merge`, which says more of what is wrong, and no value.
        check = _: true;
        merge =
          loc: sets:
          if length sets == 1 then
            completeAt loc (head sets)
          else if all (set: type.check set.value) sets then
            type.merge loc sets
          else
            completeAt loc (head (filter (set: !type.check set.value) sets));
        # Nothing is put into a submodule for each resource, but for documents.
        substSubModules = modules: itself // { inherit (type.substSubModules modules) getSubOptions; };
      };
    in
    itself;

  nixpkgsType =
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
        types.addCheck types.str (fits shape)
        // {
          description = "string matching ${shape.pattern}";
        };
    integer = inRange types.int;
    number = inRange types.number;
    enum = shape: types.enum shape.values;
    list = shape: types.listOf (nixpkgsType shape.item);
    # Lazy: one value that is not known yet leaves the others alone.
    map = shape: types.lazyAttrsOf (nixpkgsType shape.item);
    object = shape: types.submodule (optionsModule shape);
    union = shape: types.oneOf (map nixpkgsType shape.alternatives);
  };

  # The options of an object's properties. No default where nobody fills it in:
  # then the author must set it.
  optionsModule =
    shape:
    {
      options = mapAttrs (
        _: property:
        mkOption {
          type = typeOf property;
          inherit (property) description;
        }
        // lib.optionalAttrs (property.default != { }) { default = property.default.value; }
      ) (shape.properties or { });
    }
    // lib.optionalAttrs (shape.open or false) { freeformType = types.lazyAttrsOf types.anything; };
in
{
  inherit complete optionsModule;
}

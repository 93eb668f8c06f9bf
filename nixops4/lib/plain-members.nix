# Members that need no module system, for upstream's `mkRoot`.
#
# Upstream evaluates each member as a submodule, and its inputs and outputs as two
# more, which costs many times what is in them. Most members are one plain set
#
#   { type = providers.postgresql.role; inputs = { ... }; state = members.state; }
#
# of a kind of this suite, and all of their values but the outputs follow from it
# at once. What is more than that is left to upstream, member by member and value
# by value: functions and files, mkIf, what several modules set, other people's
# kinds, kinds that somebody adds inputs to. So is every member if upstream is not
# as this file knows it, or if somebody extends all members.
#
# To be imported by the root.
{ lib, options, ... }:
let
  inherit (builtins)
    all
    attrNames
    elem
    filter
    head
    isAttrs
    isFunction
    length
    mapAttrs
    ;
  inherit (lib) hasSuffix mkOption types;

  file = toString ./plain-members.nix;

  # Upstream's modules, by what it calls the files that they are in.
  isMembersModule = hasSuffix "/nix/component/members.nix";
  isTypeModule = hasSuffix "/nix/component/provider-values.nix";
  outputsModule = "<resource outputs from nixops>";
  memberModules = [
    "<resource output injection support for component members>"
    "<resource path injection for members>"
  ];

  # Whether nobody but upstream and this file says what a member is.
  isKnownDeclaration =
    declaration: declaration == file || isMembersModule declaration || elem declaration memberModules;

  # The options of any member.
  component = removeAttrs (options.members.type.nestedTypes.elemType.getSubOptions [ ]) [
    "_module"
  ];

  isKnownUpstream =
    attrNames component == [
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
    ]
    &&
      attrNames component.provider == [
        "args"
        "executable"
        "type"
      ];

  # A path is from the root, and not from wherever else this may be imported.
  isRoot = !(elem "members" (lib.init options.members.loc));

  isPlain =
    definitions:
    length definitions == 1
    && (
      let
        inherit (head definitions) value;
      in
      isAttrs value
      && value ? type
      &&
        removeAttrs value [
          "inputs"
          "state"
          "type"
        ] == { }
      && value.type.completeInputs or null != null
    );

  # One module says what they are, and nobody has added another.
  isOneModule = module: length module.imports or [ ] == 1;

  # What upstream makes of a plain member. `member` is the same as upstream makes it.
  plainMember =
    path: loc: member: definition:
    let
      inherit (definition.value) type;
      inputs = definition.value.inputs or { };
      state = definition.value.state or null;
      resource = {
        inherit (type) outputsSkeleton type;
        provider = {
          inherit (type.provider) args executable;
          type = component.provider.type.default;
        };
        inputs =
          if isOneModule type.inputs && isAttrs inputs && !(inputs ? _type || inputs ? _module) then
            type.completeInputs {
              inherit (definition) file;
              loc = loc ++ [ "inputs" ];
            } inputs
          else
            member.inputs;
        state =
          if state == null && !type.requireState then
            null
          else if isAttrs state && state ? absoluteMemberPath then
            state.absoluteMemberPath
          else
            member._resourceForNixOps.state;
      };
    in
    {
      _export = { inherit resource; };
      _resourceForNixOps = resource;
      absoluteMemberPath = path;
      inherit (member)
        members
        outputs
        providers
        state
        ;
      inherit (resource) inputs outputsSkeleton provider;
      inherit (type) requireState;
      inherit type;
      resourceType = type.type;
    };

  # The outputs of a resource. `outputs` are the same as upstream makes them.
  plainOutputs =
    { config, options, ... }:
    outputs:
    let
      inherit (config) type;
      definitions = options.outputs.definitionsWithLocations;
      given = head (filter (definition: definition.file == outputsModule) definitions);
      module = given.value { };
      values = module.config;
      isKnown =
        length definitions == 2
        && length (filter (definition: isTypeModule definition.file) definitions) == 1
        && length (filter (definition: definition.file == outputsModule) definitions) == 1
        && isFunction given.value
        && attrNames module == [ "config" ]
        && isAttrs values
        && !(values ? _type)
        && type ? completeOutputs
        && removeAttrs values (attrNames type.completeOutputs) == { }
        && isOneModule type.outputs;
      completeOutput =
        name: complete:
        if values ? ${name} then
          complete {
            inherit (given) file;
            loc = options.outputs.loc ++ [ name ];
          } values.${name}
        else
          outputs.${name};
    in
    if isKnown then mapAttrs completeOutput type.completeOutputs else outputs;

  # Extends `members` of the component at a path, and of those below.
  level =
    path:
    { options, ... }:
    let
      definitions = lib.zipAttrs (
        map (
          set:
          mapAttrs (_: value: {
            inherit (set) file;
            inherit value;
          }) set.value
        ) options.members.definitionsWithLocations
      );
      isKnown = isRoot && isKnownUpstream && all isKnownDeclaration options.members.declarations;
      below =
        {
          name,
          config,
          options,
          ...
        }:
        member (path ++ [ name ]) { inherit config options; };
    in
    {
      _file = file;
      # A component below may import this once more, and has it once.
      key = "nixops4-resources: plain members";
      options.members = mkOption {
        type = types.lazyAttrsOf (types.submoduleWith { modules = [ below ]; });
        apply = mapAttrs (
          name: member:
          if isKnown && isPlain definitions.${name} then
            plainMember (path ++ [ name ]) (options.members.loc ++ [ name ]) member (head definitions.${name})
          else
            member
        );
      };
    };

  # Extends a member as far as upstream evaluates it.
  member =
    path: module:
    let
      component = level path module;
    in
    component
    // {
      options = component.options // {
        outputs = mkOption { apply = plainOutputs module; };
      };
    };
in
{
  imports = [ (level [ ]) ];
}

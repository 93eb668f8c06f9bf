# One component of the tree: a resource, or a composite with members.
#
# It has two faces. `export` is what `nixops4` reads; `view` is what
# `members.NAME` is to the author of an expression. Neither forces more of a
# definition than was asked for: the set of a composite's members, a member's
# type or an input may each depend on outputs that are not known yet.
{ deploymentName, providers }:
let
  inherit (builtins)
    attrNames
    concatMap
    concatStringsSep
    elem
    filter
    head
    isAttrs
    isFunction
    isPath
    mapAttrs
    ;
  inherit (import ./complete.nix) describe isMember;
  inherit (import ./suggest.nix) list suggest;

  resourceAttributes = [
    "inputs"
    "state"
    "type"
  ];
  compositeAttributes = [
    "members"
    "state"
  ];

  # Kinds that nobody gave: `type = "postgresql_role"`.
  checkKind =
    where: kind:
    if isAttrs kind && kind._type or null == "nixops4ResourceType" then
      kind
    else
      throw "${where}.type: must be a kind of a provider, as in `providers.postgresql.role`, but is ${describe kind}. Providers: ${list (attrNames providers)}";

  checkDefinition =
    where: definition:
    let
      allowed = if definition ? type then resourceAttributes else compositeAttributes;
      unknown = filter (name: !(elem name allowed)) (attrNames definition);
      name = head unknown;
    in
    if !isAttrs definition then
      throw "${where}: must be an attribute set with `type` (a resource) or `members` (a component), or a function or file that gives one, but is ${describe definition}"
    else if isMember definition then
      throw "${where}: is ${describe definition}; a member cannot be another one's definition"
    else if !(definition ? type) && !(definition ? members) then
      throw "${where}: needs `type` (a resource) or `members` (a component); has: ${list (attrNames definition)}"
    else if unknown != [ ] then
      throw (
        "${where}.${name}: "
        + (
          if definition ? type then
            "a resource has no such attribute"
          else
            "a component with `members` has no such attribute"
        )
        + "; ${suggest allowed name}"
      )
    else
      definition;

  # `state` of a resource as upstream wants it: a path from the root, or null.
  resolveState =
    {
      where,
      path,
      kind,
      # Whether it was given to this resource, not inherited.
      own,
      state,
    }:
    let
      none =
        if kind.state == "required" then
          throw "${where}.state: ${kind.type} cannot do without state; set `state` here, or once for all beside `members`, to a member such as `members.state`"
        else
          null;
    in
    if kind.state == "never" then
      if own && state != null then
        throw "${where}.state: ${kind.type} has no state of its own; leave it out"
      else
        null
    else if kind.state == "onRequest" && !own then
      null
    else if state == null then
      none
    else if !isMember state then
      throw "${where}.state: must be a member, as in `members.state`, or null, but is ${describe state}"
    else if state.absoluteMemberPath == path then
      if own then throw "${where}.state: a member cannot keep its own state" else none
    else if !state.type.keepsState then
      throw "${where}.state: members.${concatStringsSep ".members." state.absoluteMemberPath} is a ${state.type.type}, which cannot keep state"
    else
      state.absoluteMemberPath;

  component =
    {
      # Names from the root to here.
      path,
      definition,
      # What the component around it set as `state`.
      inheritedState,
      # What upstream's `outputValues` has at this path.
      outputValues,
    }:
    let
      where = if path == [ ] then "root" else "members.${concatStringsSep ".members." path}";

      # Called at most once each: a file gives a function, a function a set.
      content = if isPath definition then import definition else definition;
      called =
        if isFunction content then
          content {
            inherit members providers;
            name = deploymentName;
          }
        else
          content;
      defined = checkDefinition where called;

      isResource = defined ? type;
      state = if defined ? state then defined.state else inheritedState;
      onlyOf =
        wanted: what: value:
        if isResource == wanted then
          value
        else
          throw "${where}: has no ${what}, it is ${
            if isResource then "a resource" else "a component; its members: ${list (attrNames defined.members)}"
          }";

      children = mapAttrs (
        name: child:
        component {
          path = path ++ [ name ];
          definition = child;
          inheritedState = state;
          outputValues = outputValues.${name};
        }
      ) defined.members;
      members = mapAttrs (_: child: child.view) children;

      kind = checkKind where defined.type;
      inputs = kind.completeInputs {
        loc =
          concatMap (name: [
            "members"
            name
          ]) path
          ++ [ "inputs" ];
        file = null;
      } (defined.inputs or { });
    in
    {
      view = {
        absoluteMemberPath = path;
        type = onlyOf true "type" kind;
        inputs = onlyOf true "inputs" inputs;
        outputs = onlyOf true "outputs" (mapAttrs (output: _: outputValues.${output}) kind.outputsSkeleton);
        members = onlyOf false "members" members;
      };

      export =
        if isResource then
          {
            resource = {
              inherit (kind) provider type outputsSkeleton;
              inherit inputs;
              state = resolveState {
                inherit
                  where
                  path
                  kind
                  state
                  ;
                own = defined ? state;
              };
            };
          }
        else
          { members = mapAttrs (_: child: child.export) children; };
    };
in
component

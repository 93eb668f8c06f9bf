# Evaluates a deployment for `nixops4-resources` and says what it found.
#
# `request.json` beside this file says which deployment, which outputs are known
# and what to look at. An output that is not known throws; what needs it is then
# reported as unknown, with JSON pointers as fine as possible. `tryEval` does not
# say why something failed, so that each missing output leaves a trace line on
# stderr, and so does each place that is unknown: the lines in between belong
# together.
let
  inherit (builtins)
    attrNames
    concatLists
    concatStringsSep
    filter
    fromJSON
    getContext
    isAttrs
    isFunction
    isList
    isString
    length
    listToAttrs
    map
    mapAttrs
    replaceStrings
    seq
    toJSON
    toString
    trace
    tryEval
    typeOf
    unsafeDiscardStringContext
    ;

  request = fromJSON (builtins.readFile ./request.json);

  within = builtins.addErrorContext;

  # Without it, what fails shows its true error.
  attempt =
    if request.catch then
      tryEval
    else
      value:
      seq value {
        success = true;
        inherit value;
      };

  say = facts: trace "${request.mark} ${toJSON facts}";

  show = path: concatStringsSep "." path;

  named = path: if path == [ ] then "the root" else "the member '${show path}'";

  # `abort` is not caught by `tryEval`: what is wrong in any case is said at once.
  fail = message: abort "${request.mark}: ${message}";

  root =
    let
      value =
        if request.root ? file then
          import request.root.file
        else
          (builtins.getFlake request.root.flake).nixops4 or (fail "the flake has no output nixops4; ${hint}");
      hint = "a deployment is { _type = \"nixops4Component\"; rootFunction = { outputValues, ... }: { members = { ... }; }; }";
    in
    if isFunction value then
      fail "it evaluates to a function that nobody calls; ${hint}"
    else if !isAttrs value then
      fail "it evaluates to a ${typeOf value}; ${hint}"
    else if (value._type or null) != "nixops4Component" then
      fail "it evaluates to a set whose _type is not \"nixops4Component\"; ${hint}"
    else if !isFunction (value.rootFunction or null) && !isAttrs (value.rootFunction or null) then
      fail "the deployment has no rootFunction; ${hint}"
    else
      value;

  # The whole tree, given the outputs that are in it.
  deployment = root.rootFunction {
    resourceProviderSystem = builtins.currentSystem;
    outputValues = outputsBelow [ ] request.known deployment;
  };

  outputsBelow =
    path: known: composite:
    mapAttrs (
      name: member:
      let
        here = path ++ [ name ];
        below = (known.members or { }).${name} or { };
      in
      if member ? resource then
        mapAttrs (output: _: outputOf here below output) (
          member.resource.outputsSkeleton
            or (fail "the resource '${show here}' does not declare its outputs in outputsSkeleton; its type's definition has to")
        )
      else
        outputsBelow here below member
    ) (composite.members or { });

  # The value, its strings with a context that names where they come from.
  marked =
    index: value:
    let
      context = builtins.substring 0 0 (builtins.toFile "${request.edge}${toString index}" "");
      mark =
        value:
        if isString value then
          context + value
        else if isList value then
          map mark value
        else if isAttrs value then
          mapAttrs (_: mark) value
        else
          value;
    in
    mark value;

  outputOf =
    path: known: output:
    if known ? outputs && known.outputs ? ${output} then
      if known ? marks && known.marks ? ${output} then
        marked known.marks.${output} known.outputs.${output}
      else
        known.outputs.${output}
    else if known.complete or false then
      fail "the provider of '${show path}' did not give the output '${output}' that its type declares"
    else
      say
        {
          wants = { inherit path output; };
        }
        (
          throw "${request.mark}: the output '${output}' of '${show path}' is not known before that is applied"
        );

  unknownAt = facts: say { at = facts; };

  # A value as JSON has it, with the store paths that its strings need.
  plain =
    value:
    let
      json = toJSON value;
    in
    {
      value = fromJSON (unsafeDiscardStringContext json);
      unknown = [ ];
      context = getContext json;
    };

  whole =
    value:
    let
      json = toJSON value;
    in
    seq json json;

  walk =
    path: pointer: value:
    let
      outside = attempt value;
      inside = outside.value;
      leaf = attempt (whole inside);
      missing = unknownAt { inherit path pointer; } {
        value = null;
        unknown = [ pointer ];
        context = { };
      };
      together = parts: f: {
        value = f (map (part: part.found.value) parts);
        unknown = concatLists (map (part: part.found.unknown) parts);
        context = builtins.foldl' (all: part: all // part.found.context) { } parts;
      };
    in
    if !outside.success then
      missing
    else if isAttrs inside && !(inside ? outPath) && !(inside ? __toString) then
      let
        parts = map (name: {
          inherit name;
          found = walk path "${pointer}/${escape name}" inside.${name};
        }) (attrNames inside);
      in
      together parts (
        _:
        listToAttrs (
          map (part: {
            inherit (part) name;
            inherit (part.found) value;
          }) parts
        )
      )
    else if isList inside then
      together (builtins.genList (index: {
        found = walk path "${pointer}/${toString index}" (builtins.elemAt inside index);
      }) (length inside)) (values: values)
    else if !leaf.success then
      missing
    else
      plain inside;

  escape = replaceStrings [ "~" "/" ] [ "~0" "~1" ];

  inputsOf =
    path: inputs:
    within "while evaluating the inputs of ${named path}" (
      let
        # Nearly always everything is known, and this is much faster.
        atOnce = attempt (whole inputs);
      in
      if atOnce.success then plain inputs else walk path "" inputs
    );

  headOf =
    path: resource:
    within "while evaluating the provider, type and state of ${named path}" (
      let
        json = toJSON (
          resource.provider
            or (fail "${named path} has no provider; its resource needs provider, type, inputs, outputsSkeleton and state")
        );
        provider = fromJSON (unsafeDiscardStringContext json);
        state = resource.state or null;
        type = resource.type or (fail "${named path} has no type");
      in
      if !isAttrs provider || (provider.type or null) != "stdio" || !(provider ? executable) then
        fail "the provider of ${named path} is not { type = \"stdio\"; executable = ...; args = [ ... ]; }"
      else if !isString type then
        fail "the type of ${named path} is a ${typeOf type}, not a string"
      else if
        state != null && !(isList state && state != [ ] && filter (name: !isString name) state == [ ])
      then
        fail "the state of ${named path} is neither null nor a list of names that leads to a member"
      else
        {
          inherit (provider) executable;
          args = provider.args or [ ];
          context = getContext json;
          inherit type state;
          outputs = attrNames (resource.outputsSkeleton or { });
        }
    );

  structure =
    path: part:
    unknownAt { inherit path part; } [
      { structure = { inherit path part; }; }
    ];

  membersBelow =
    path: composite:
    let
      members = attempt (
        if composite ? members then
          composite.members
        else
          fail "${named path} has neither `resource` nor `members`"
      );
    in
    within "while listing the members of ${named path}" (
      if !members.success then
        structure path "members"
      else
        concatLists (
          map (name: memberAt (path ++ [ name ]) members.value.${name}) (attrNames members.value)
        )
    );

  memberAt =
    path: member:
    let
      kind = attempt (
        if !isAttrs member then
          fail "${named path} is a ${typeOf member}, not a set with `resource` or `members`"
        else
          member ? resource
      );
      about = attempt (
        let
          found = headOf path member.resource;
        in
        builtins.deepSeq found found
      );
    in
    if !kind.success then
      structure path "member"
    else if !kind.value then
      membersBelow path member
    else if !about.success then
      structure path "resource"
    else
      [
        {
          resource = {
            inherit path;
            about = removeAttrs about.value [ "context" ];
            context = attrContext about.value.context;
            inputs = member.resource.inputs or { };
          };
        }
      ];

  attrContext =
    context: concatLists (map (path: installables path context.${path}) (attrNames context));

  # What `nix-store --realise` understands.
  installables =
    path: how:
    if how.allOutputs or false then
      [ path ]
    else
      (if how.path or false then [ path ] else [ ])
      ++ map (output: "${path}!${output}") (how.outputs or [ ]);

  found = membersBelow [ ] deployment;

  withInputs =
    item:
    if item ? resource then
      {
        resource =
          item.resource
          // (
            let
              inputs = inputsOf item.resource.path item.resource.inputs;
            in
            {
              inputs = inputs.value;
              inherit (inputs) unknown;
              inputContext = attrContext inputs.context;
            }
          );
      }
    else
      item;

  # What the inputs were made from, as far as their strings tell.
  withOrigins =
    item:
    let
      inputs = attempt (whole item.resource.inputs);
    in
    if item ? resource && inputs.success then
      [
        {
          inherit (item.resource) path;
          context = attrNames (getContext inputs.value);
        }
      ]
    else
      [ ];

  withoutInputs =
    item: if item ? resource then { resource = removeAttrs item.resource [ "inputs" ]; } else item;

  # Only what keeps the others' state is looked at closely.
  states =
    let
      keepers = concatLists (
        map (
          item:
          if item ? resource && item.resource.about.state != null then [ item.resource.about.state ] else [ ]
        ) found
      );
      isKeeper = listToAttrs (
        map (path: {
          name = toJSON path;
          value = true;
        }) keepers
      );
    in
    map (
      item:
      if item ? resource && isKeeper ? ${toJSON item.resource.path} then
        withInputs item
      else
        withoutInputs item
    ) found;

  # One place alone, to see why it fails.
  place =
    {
      path,
      part,
      pointer,
    }:
    let
      step = value: name: if isList value then builtins.elemAt value (fromJSON name) else value.${name};
      member = builtins.foldl' (composite: name: composite.members.${name}) deployment path;
      found = {
        members = attrNames member.members;
        member = member ? resource;
        resource = headOf path member.resource;
        inputs = whole (builtins.foldl' step member.resource.inputs pointer);
      };
    in
    within "while evaluating the ${part} of ${named path}" (builtins.deepSeq found.${part} null);
in
if request.look == "states" then
  states
else if request.look == "all" then
  map withInputs found
else if request.look == "edges" then
  concatLists (map withOrigins found)
else
  map place request.places

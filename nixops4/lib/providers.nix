# The `providers` argument of a component: `providers.postgresql.role`.
#
# Made from descriptions in the form of `schemas/NAME.json`. Knows nothing of
# members. Each kind's schema is read once, however many members have it.
{
  deploymentName,
  # Folder of descriptions.
  schemas,
  # null: found through PATH. A folder that has them all, or { NAME = file; }.
  executables,
  # More descriptions by name, with `args` if they need any.
  extraProviders,
}:
let
  inherit (builtins)
    attrNames
    concatMap
    filter
    fromJSON
    isAttrs
    listToAttrs
    mapAttrs
    match
    readDir
    readFile
    ;
  schema = import ./schema.nix;
  inherit (import ./complete.nix) complete;
  inherit (import ./suggest.nix) suggest;

  # What describes no provider: the wire, and what the command prints.
  others = [
    "command.json"
    "protocol.json"
  ];

  described = listToAttrs (
    concatMap (
      file:
      let
        name = match "(.*)\\.json" file;
      in
      if name == null || builtins.elem file others then
        [ ]
      else
        [
          {
            name = builtins.head name;
            value = fromJSON (readFile (schemas + "/${file}"));
          }
        ]
    ) (attrNames (readDir schemas))
  );

  allDescriptions =
    let
      twice = filter (name: described ? ${name}) (attrNames extraProviders);
      strangers = filter (name: !(described ? ${name})) (attrNames executables);
    in
    if twice != [ ] then
      throw "mkRoot: extraProviders.${builtins.head twice}: there is a provider of that name already; choose another"
    else if isAttrs executables && strangers != [ ] then
      throw "mkRoot: executables.${builtins.head strangers}: no such provider; ${suggest (attrNames described) (builtins.head strangers)}"
    else
      described // extraProviders;

  executableOf =
    name: description:
    if executables == null || extraProviders ? ${name} then
      toString description.executable
    else if isAttrs executables then
      toString (executables.${name} or description.executable)
    else
      "${toString executables}/${description.executable}";

  anything = true;

  makeProvider =
    name: description:
    let
      provider = {
        type = "stdio";
        executable = executableOf name description;
        args = description.args or [ ];
      };
    in
    listToAttrs (
      map (wireType: {
        name = schema.kindName name wireType;
        value = makeKind provider wireType description.kinds.${wireType};
      }) (attrNames description.kinds)
    );

  makeKind =
    provider: wireType: kind:
    let
      completeInputs = complete (schema.read (kind.inputs or anything));
      filled = listToAttrs (
        map (input: {
          name = input;
          value = deploymentName;
        }) (schema.deploymentInputs kind)
      );
    in
    {
      # Upstream's mark: `imports` of such a thing is a recognisable mistake.
      _type = "nixops4ResourceType";
      inherit provider;
      type = wireType;
      # "never", "optional", "onRequest" or "required".
      state = kind.state or "optional";
      # Whether it can hold the state of others, as far as is known.
      keepsState = !(kind ? requests) || builtins.elem "stateResourceReadRequest" kind.requests;
      outputsSkeleton = mapAttrs (_: _: { }) (kind.outputs.properties or { });
      completeInputs =
        place: inputs: completeInputs place (if isAttrs inputs then filled // inputs else inputs);
    };
in
mapAttrs makeProvider allDescriptions

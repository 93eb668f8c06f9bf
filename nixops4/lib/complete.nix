# Checks a value against a shape and fills in what its author left out.
#
# As lazy as the shape allows: an object is checked for its names when it is
# looked at, each of its values only when that value is. So a value that is an
# output of a member that does not exist yet disturbs nothing but itself.
#
# A message never repeats a string that was given: somebody may have put a
# secret where it does not belong.
let
  inherit (builtins)
    attrNames
    concatMap
    concatStringsSep
    elem
    elemAt
    filter
    head
    isAttrs
    isString
    length
    mapAttrs
    replaceStrings
    split
    toJSON
    typeOf
    ;
  inherit (import ./schema.nix) fits nixTypes;
  inherit (import ./suggest.nix) suggest;

  article = {
    null = "null";
    bool = "a boolean";
    int = "an integer";
    float = "a number with a fraction";
    string = "a string";
    path = "a path (write it as a string: toString ./file)";
    list = "a list";
    set = "an attribute set";
    lambda = "a function";
  };

  # Whether it is what `members.NAME` gives.
  isMember = value: isAttrs value && value ? absoluteMemberPath;

  describe =
    value:
    if isMember value then
      "the member ${concatStringsSep "." value.absoluteMemberPath} itself (take one of its outputs: members.NAME.outputs.OUTPUT)"
    else
      article.${typeOf value};

  isSecretReference =
    shape: shape.properties ? file && shape.properties ? env && shape.properties ? store;

  expectation =
    shape:
    {
      any = "anything";
      boolean = "true or false";
      integer = "an integer";
      number = "a number";
      string = "a string";
      enum = "one of ${concatStringsSep ", " (map toJSON shape.values)}";
      list = "a list";
      map = "an attribute set";
      object =
        if isSecretReference shape then
          ''a reference to a secret, { file = "/run/keys/NAME"; }, { env = "NAME"; } or an output of a secrets member, never the secret itself''
        else
          "an attribute set with ${concatStringsSep ", " (attrNames shape.properties)}";
      union = concatStringsSep " or " (map expectation shape.alternatives);
    }
    .${shape.kind}
    + (if shape.nullable then ", or null" else "");

  mismatch =
    shape: where: value:
    throw "${where}: must be ${expectation shape}, but is ${describe value}";

  # Doc comments are wrapped and may go on; a message needs their beginning.
  firstSentence =
    text:
    let
      paragraph = head (split "\n\n" text);
      flat = replaceStrings [ "\n" ] [ " " ] paragraph;
      sentence = head (split "[.] " flat);
    in
    if sentence == flat then flat else "${sentence}.";

  # Shape -> where -> value -> the completed value.
  complete =
    shape:
    let
      completeValue = byKind.${shape.kind} shape;
    in
    if shape.kind == "any" then
      completeValue
    else if shape.nullable then
      where: value: if value == null then null else completeValue where value
    else
      completeValue;

  ofType =
    shape:
    let
      types = nixTypes shape;
    in
    where: value: if elem (typeOf value) types then value else mismatch shape where value;

  inRange =
    shape:
    let
      check = ofType shape;
      bounds =
        if shape.minimum == null then
          "at most ${toString shape.maximum}"
        else if shape.maximum == null then
          "at least ${toString shape.minimum}"
        else
          "between ${toString shape.minimum} and ${toString shape.maximum}";
    in
    where: value:
    let
      number = check where value;
    in
    if
      (shape.minimum != null && number < shape.minimum)
      || (shape.maximum != null && number > shape.maximum)
    then
      throw "${where}: must be ${bounds}, but is ${toString number}"
    else
      number;

  byKind = {
    any =
      _shape: where: value:
      if isMember value then throw "${where}: is ${describe value}" else value;
    boolean = ofType;
    integer = inRange;
    number = inRange;

    string =
      shape:
      let
        check = ofType shape;
      in
      where: value:
      let
        text = check where value;
      in
      if fits shape text then
        text
      else
        throw "${where}: must match ${shape.pattern} as a whole. ${firstSentence shape.description}";

    enum =
      shape: where: value:
      if elem value shape.values then
        value
      else if isString value then
        throw "${where}: no such value; ${suggest (map toString shape.values) value}"
      else
        mismatch shape where value;

    list =
      shape:
      let
        completeItem = complete shape.item;
        check = ofType shape;
      in
      where: value:
      let
        items = check where value;
      in
      builtins.genList (index: completeItem "${where}.${toString index}" (elemAt items index)) (
        length items
      );

    map =
      shape:
      let
        completeItem = complete shape.item;
      in
      where: value:
      if isAttrs value && !isMember value then
        mapAttrs (name: completeItem "${where}.${name}") value
      else
        mismatch shape where value;

    object =
      shape:
      let
        completers = mapAttrs (_: complete) shape.properties;
        known = attrNames shape.properties;
        # Completed once for a kind, not once for a member. Needs no place: a
        # schema whose own default does not fit is not the author's doing.
        defaults = mapAttrs (
          name: property: completers.${name} "the schema's default of ${name}" property.default.value
        ) shape.properties;
      in
      where: value:
      let
        unknown = filter (name: !(completers ? ${name})) (attrNames value);
        missing = filter (name: !(value ? ${name})) shape.mandatory;
        complaints =
          (
            if shape.open then
              [ ]
            else
              map (name: "${where}.${name}: no such input; ${suggest known name}") unknown
          )
          ++ map (
            name:
            "${where}.${name}: is required but not set. ${firstSentence shape.properties.${name}.description}"
          ) missing;
      in
      if !isAttrs value || isMember value then
        mismatch shape where value
      else if complaints != [ ] then
        throw (concatStringsSep "\n" complaints)
      else
        (if shape.open then removeAttrs value known else { })
        // mapAttrs (
          name: completeProperty:
          if value ? ${name} then completeProperty "${where}.${name}" value.${name} else defaults.${name}
        ) completers;

    union =
      shape:
      let
        alternatives = concatMap (
          alternative:
          map (type: {
            name = type;
            value = complete alternative;
          }) (nixTypes alternative)
        ) shape.alternatives;
        completers = builtins.listToAttrs alternatives;
      in
      where: value: (completers.${typeOf value} or (_: mismatch shape where)) where value;
  };
in
{
  inherit complete describe isMember;
}

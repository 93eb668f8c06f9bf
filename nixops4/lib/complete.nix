# Checks a value against a shape and fills in what its author left out.
#
# As lazy as the shape allows: an object is checked for its names when it is
# looked at, each of its values only when that value is. So a value that is an
# output of a member that does not exist yet disturbs nothing but itself.
#
# A place is { loc; file; }: the names that lead to a value, and the file that
# sets it, or null where nobody knows.
#
# A message never repeats a string that was given: somebody may have put a
# secret where it does not belong.
let
  inherit (builtins)
    any
    attrNames
    concatMap
    concatStringsSep
    elem
    elemAt
    filter
    genList
    head
    isAttrs
    isFunction
    isPath
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

  # What an open object has beside its properties.
  anything = {
    kind = "any";
    nullable = true;
  };

  under = name: place: place // { loc = place.loc ++ [ name ]; };

  show = place: concatStringsSep "." place.loc;

  # Modules that stand in no file of their own have the module system's name for it.
  isKnown = file: file != null && file != "<unknown-file>";

  refuse =
    place: complaints:
    throw (
      concatStringsSep "\n" complaints + (if isKnown place.file then "\ndefined in ${place.file}" else "")
    );

  mismatch =
    shape: place: value:
    refuse place [ "${show place}: must be ${expectation shape}, but is ${describe value}" ];

  # Doc comments are wrapped and may go on; a message needs their beginning.
  firstSentence =
    text:
    let
      paragraph = head (split "\n\n" text);
      flat = replaceStrings [ "\n" ] [ " " ] paragraph;
      sentence = head (split "[.] " flat);
    in
    if sentence == flat then flat else "${sentence}.";

  # Knows nothing of values that stand for others.
  complete = completeWith null;

  # `modules` is null, or what the module system makes of values:
  #
  #   stands   value -> whether it stands for another one, as mkIf does
  #   resolve  shape -> default -> place -> such a value -> the completed one
  #   merge    shape -> place -> a value of a kind that modules merge in a way
  #            of their own -> the completed value
  completeWith =
    modules:
    let
      # Shape -> place -> value -> the completed value.
      complete =
        shape:
        let
          completeValue = byKind.${shape.kind} shape;
        in
        if shape.kind == "any" then
          completeValue
        else if shape.nullable then
          place: value: if value == null then null else completeValue place value
        else
          completeValue;

      # The same of what an author may have put into mkIf and the like.
      completeSet =
        shape: default:
        let
          completeValue = complete shape;
        in
        if modules == null then
          completeValue
        else
          place: value:
          if modules.stands value then
            modules.resolve shape default place value
          else
            completeValue place value;

      ofType =
        shape:
        let
          types = nixTypes shape;
        in
        place: value: if elem (typeOf value) types then value else mismatch shape place value;

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
        place: value:
        let
          number = check place value;
        in
        if
          (shape.minimum != null && number < shape.minimum)
          || (shape.maximum != null && number > shape.maximum)
        then
          refuse place [ "${show place}: must be ${bounds}, but is ${toString number}" ]
        else
          number;

      byKind = {
        any =
          shape: place: value:
          if isMember value then
            refuse place [ "${show place}: is ${describe value}" ]
          else if modules == null then
            value
          else
            modules.merge shape place value;
        boolean = ofType;
        integer = inRange;
        number = inRange;

        string =
          shape:
          let
            check = ofType shape;
          in
          place: value:
          let
            text = check place value;
          in
          if fits shape text then
            text
          else
            refuse place [
              "${show place}: must match ${shape.pattern} as a whole. ${firstSentence shape.description}"
            ];

        enum =
          shape: place: value:
          if elem value shape.values then
            value
          else if isString value then
            refuse place [ "${show place}: no such value; ${suggest (map toString shape.values) value}" ]
          else
            mismatch shape place value;

        list =
          shape:
          let
            completeItem = complete shape.item;
            check = ofType shape;
          in
          place: value:
          let
            items = check place value;
          in
          if modules != null && any modules.stands items then
            modules.merge shape place items
          else
            genList (index: completeItem (under (toString index) place) (elemAt items index)) (length items);

        map =
          shape:
          let
            completeItem = completeSet shape.item { };
          in
          place: value:
          if isAttrs value && !isMember value then
            mapAttrs (name: completeItem (under name place)) value
          else
            mismatch shape place value;

        object =
          shape:
          let
            completers = mapAttrs (_: property: completeSet property property.default) shape.properties;
            completeOther = completeSet anything { };
            known = attrNames shape.properties;
            # Completed once for a kind, not once for a member. Needs no place: a
            # schema whose own default does not fit is not the author's doing.
            defaults = mapAttrs (
              name: property:
              completers.${name} {
                loc = [ "the schema's default of ${name}" ];
                file = null;
              } property.default.value
            ) shape.properties;
          in
          place: value:
          let
            unknown = filter (name: !(completers ? ${name})) (attrNames value);
            missing = filter (name: !(value ? ${name})) shape.mandatory;
            complaints =
              (
                if shape.open then
                  [ ]
                else
                  map (name: "${show place}.${name}: no such input; ${suggest known name}") unknown
              )
              ++ map (
                name:
                "${show place}.${name}: is required but not set. ${
                  firstSentence shape.properties.${name}.description
                }"
              ) missing;
          in
          if modules != null && (isFunction value || isPath value) then
            modules.merge shape place value
          else if !isAttrs value || isMember value then
            mismatch shape place value
          else if complaints != [ ] then
            refuse place complaints
          else
            mapAttrs (name: completeOther (under name place)) (
              if shape.open then removeAttrs value known else { }
            )
            // mapAttrs (
              name: completeProperty:
              if value ? ${name} then completeProperty (under name place) value.${name} else defaults.${name}
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
          place: value: (completers.${typeOf value} or (mismatch shape)) place value;
      };
    in
    complete;
in
{
  inherit
    complete
    completeWith
    describe
    isMember
    ;
}

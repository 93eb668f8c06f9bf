# The module of each provider for upstream's `providers.NAME`: the files beside this
# one, by name. A new provider is a new file.
let
  inherit (builtins)
    attrNames
    filter
    listToAttrs
    match
    readDir
    ;
  nameOf = file: builtins.head (match "(.*)\\.nix" file);
in
listToAttrs (
  map (file: {
    name = nameOf file;
    value = ./. + "/${file}";
  }) (filter (file: match ".*\\.nix" file != null && file != "default.nix") (attrNames (readDir ./.)))
)

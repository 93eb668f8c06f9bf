# Reads the pins of sources.json (npins, format 7): { NAME = pin // { outPath }; }.
#
# A pin is downloaded when its `outPath` is first used. The environment
# variable NPINS_OVERRIDE_NAME (with _ for what is not a letter or digit) takes
# the place of a download by a folder of yours.
let
  inherit (builtins)
    concatStringsSep
    fetchTarball
    filter
    fromJSON
    getEnv
    isString
    mapAttrs
    readFile
    split
    substring
    ;

  sources = fromJSON (readFile ./sources.json);

  variable =
    name: "NPINS_OVERRIDE_${concatStringsSep "_" (filter isString (split "[^a-zA-Z0-9]" name))}";

  fetch =
    name: pin:
    if pin.type != "Git" || pin.submodules then
      throw "npins: ${name}: only Git pins without submodules are supported"
    else
      fetchTarball {
        inherit (pin) url;
        sha256 = pin.hash;
      };

  locate =
    name: pin:
    let
      override = getEnv (variable name);
    in
    if override == "" then
      fetch name pin
    else if substring 0 1 override == "/" then
      /. + override
    else
      throw "${variable name}: must be an absolute path, but is ${override}";
in
if sources.version == 7 then
  mapAttrs (name: pin: pin // { outPath = locate name pin; }) sources.pins
else
  throw "npins: sources.json has format ${toString sources.version}; this loader reads format 7"

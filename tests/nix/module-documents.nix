# What upstream's `renderProviderDocs` makes its pages from.
let
  inherit (import ./ways.nix) nixpkgsLib provider;
  inherit (nixpkgsLib) evalModules optionAttrSetToDocList;
in
{
  documentation =
    let
      resourceTypes =
        (evalModules {
          modules = [
            ((import ../../npins).nixops4.outPath + "/nix/provider/provider.nix")
            (provider "probe")
          ];
          specialArgs.resourceProviderSystem = throw "documents depend on no system";
        }).config.resourceTypes;
      pages =
        part:
        let
          inherit
            (evalModules {
              prefix = [ part ];
              modules = [ resourceTypes.thing.${part} ];
            })
            options
            ;
          isOurs = option: !option.internal && option.name != "_module.args";
        in
        map (option: [
          option.name
          option.type
          (option.default.text or null)
          (option.declarations != [ ])
        ]) (builtins.filter isOurs (optionAttrSetToDocList options));
      some = wanted: builtins.filter (page: builtins.elem (builtins.head page) wanted) (pages "inputs");
    in
    {
      expr = {
        outputs = pages "outputs";
        inputs = some [
          "inputs.atMost"
          "inputs.deep"
          "inputs.deep.inner"
          "inputs.deep.inner.value"
          "inputs.rules"
          "inputs.rules.*.from"
          "inputs.rules.*.secret.file"
          "inputs.weights.<name>.weight"
          "inputs.zone"
        ];
      };
      expected =
        let
          number = "signed integer or floating point number, at least 0";
          documented = name: type: default: [
            name
            type
            default
            true
          ];
        in
        {
          inputs = [
            (documented "inputs.atMost" "signed integer, at most 3" "0")
            (documented "inputs.deep" "submodule" "{ }")
            (documented "inputs.deep.inner" "submodule" "{ }")
            (documented "inputs.deep.inner.value" "signed integer" "7")
            (documented "inputs.rules" "list of (submodule)" "[ ]")
            (documented "inputs.rules.*.from" "string" null)
            (documented "inputs.rules.*.secret.file" "null or string" "null")
            (documented "inputs.weights.<name>.weight" number "0.5")
            (documented "inputs.zone" "null or string matching [a-z][a-z0-9-]{0,9}" "null")
          ];
          outputs = [
            (documented "outputs.names" "list of string" "[ ]")
            (documented "outputs.nothing" "null or string" "null")
            (documented "outputs.number" "signed integer" null)
            (documented "outputs.text" "string" null)
          ];
        };
    };
}

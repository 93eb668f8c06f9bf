# The loader of the pins, without a download.
let
  sources = import ../../npins;
in
{
  names = {
    expr = builtins.attrNames sources;
    expected = [
      "nixops4"
      "nixpkgs-lib"
    ];
  };
  revisionWithoutDownload = {
    expr = builtins.match "[0-9a-f]{40}" sources.nixops4.revision != null;
    expected = true;
  };
}

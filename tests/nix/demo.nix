# The demo's root, over the committed schemas.
let
  inherit (import ./fixpoint.nix) run tried;
  root = import ../../nixops4/examples/demo/nixops4.nix;
  before = (run root { }).members;
  after =
    (run root {
      "guestbook.password".secret = {
        store = "main";
        name = "guestbook/database";
        generation = 1;
        id = "8f3c";
      };
      "guestbook.role".name = "guestbook";
    }).members;
  inputsOf = export: name: export.guestbook.members.${name}.resource.inputs;
in
{
  everythingIsKnownInTheEnd = {
    expr = builtins.mapAttrs (_: member: member.resource.state) after.guestbook.members;
    expected = {
      password = [ "state" ];
      role = [ "state" ];
      database = [ "state" ];
      archive = [ "state" ];
    };
  };
  inputsFollowOutputs = {
    expr = builtins.deepSeq after [
      (inputsOf after "role").password.id
      (inputsOf after "database").ownerRole
      (inputsOf after "archive").ownerRole
    ];
    expected = [
      "8f3c"
      "guestbook"
      "guestbook"
    ];
  };
  inTheBeginning = {
    expr = [
      (tried (inputsOf before "role").password)
      (tried (inputsOf before "role").name)
      (tried (inputsOf before "database").ownerRole)
      (tried (inputsOf before "password") != "<throws>")
    ];
    expected = [
      "<throws>"
      "guestbook"
      "<throws>"
      true
    ];
  };
}

# The demo's root, over the committed schemas.
let
  inherit (import ./fixpoint.nix) run tried;
  secret = name: {
    store = "main";
    inherit name;
    generation = 1;
    id = "8f3c";
  };
  root = import ../../nixops4/examples/demo/nixops4.nix;
  before = (run root { }).members;
  after =
    (run root {
      administrator.secret = secret "postgresql/administrator";
      "guestbook.password".secret = secret "guestbook/database";
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
      (inputsOf after "role").password.name
      (inputsOf after "role").connection.password.name
      (inputsOf after "database").ownerRole
      (inputsOf after "archive").ownerRole
    ];
    expected = [
      "guestbook/database"
      "postgresql/administrator"
      "guestbook"
      "guestbook"
    ];
  };
  inTheBeginning = {
    expr = [
      (tried (inputsOf before "role").password)
      (tried (inputsOf before "role").connection.password)
      (tried (inputsOf before "role").name)
      (tried (inputsOf before "database").ownerRole)
      (tried (inputsOf before "password") != "<throws>")
    ];
    expected = [
      "<throws>"
      "<throws>"
      "guestbook"
      "<throws>"
      true
    ];
  };
}

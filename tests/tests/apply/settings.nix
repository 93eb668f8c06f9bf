# The demo's settings, with the superuser's password in a file.
let
  settings = import ../../../nixops4/examples/demo/settings.nix;
in
settings
// {
  connection = settings.connection // {
    password.file = builtins.getEnv "SUPERUSER_PASSWORD_FILE";
  };
}

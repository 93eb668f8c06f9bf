# Where the demo finds its server and keeps its state. Each line is an
# environment variable and what holds without it.
let
  setting =
    name: default:
    let
      value = builtins.getEnv name;
    in
    if value == "" then default else value;

  number =
    name: default:
    let
      text = setting name (toString default);
    in
    if builtins.match "[0-9]+" text == null then
      throw "${name}: must be a number, but is ${text}"
    else
      builtins.fromJSON text;
in
{
  connection = {
    host = setting "DEMO_HOST" "127.0.0.1";
    port = number "DEMO_PORT" 5432;
    user = setting "DEMO_USER" "postgres";
  };

  # Logical name of the secrets' store; NIXOPS4_SECRETS_STORES says where it is.
  store = setting "DEMO_STORE" "main";

  statePath = setting "DEMO_STATE" "${builtins.getEnv "PWD"}/demo-state.sqlite";
}

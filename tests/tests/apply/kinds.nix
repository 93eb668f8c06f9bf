# Each kind of state, in a place of the test's.
settings: providers: {
  sqlite = {
    type = providers.state.sqlite;
    inputs.path = settings.statePath;
  };
  file = {
    type = providers.state.file;
    inputs.name = settings.statePath;
  };
  postgresql = {
    type = providers.state.postgresql;
    inputs.connection = {
      inherit (settings.connection)
        host
        port
        user
        password
        ;
      database = "postgres";
    };
  };
}

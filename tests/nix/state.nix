# Where each member's result is recorded.
let
  inherit (import ./roots.nix)
    application
    stateError
    states
    unknown
    ;
in
{
  # -- state

  stateIsInherited = {
    expr = states (unknown application);
    expected = {
      state = null;
      password = [ "state" ];
      role = [ "state" ];
      database = [ "state" ];
    };
  };

  stateInATree = {
    expr = states (
      unknown (
        { members, providers, ... }:
        let
          keeper = {
            type = providers.state.sqlite;
            inputs.path = "/state";
          };
          outside = members;
        in
        {
          state = members.state;
          members = {
            state = keeper;
            # Not this component's state, but it keeps state: has none itself.
            spare = keeper;
            inherits.members.x.type = providers.probe.thing;
            elsewhere = {
              state = members.spare;
              members.x.type = providers.probe.thing;
            };
            none = {
              state = null;
              members.x.type = providers.probe.thing;
              members.y = {
                type = providers.probe.thing;
                state = outside.spare;
              };
            };
            own =
              { members, ... }:
              {
                state = members.mine;
                members.mine = keeper;
                members.x.type = providers.probe.thing;
                members.optOut = {
                  type = providers.probe.thing;
                  state = null;
                };
              };
          };
        }
      )
    );
    expected = {
      state = null;
      spare = null;
      inherits.x = [ "state" ];
      elsewhere.x = [ "spare" ];
      none.x = null;
      none.y = [ "spare" ];
      own = {
        mine = null;
        x = [
          "own"
          "mine"
        ];
        optOut = null;
      };
    };
  };

  # What expires is not recorded only because something around it is.
  certificatesAreLookedAtEachTime = {
    expr =
      let
        inherit (import ../../default.nix) lib;
        root =
          { members, providers, ... }:
          {
            state = members.state;
            members = import ./fixtures/certificates.nix { inherit members providers; };
          };
      in
      states ((import ./fixpoint.nix).run (lib.mkRoot { name = "demo"; } root) { });
    expected = {
      state = null;
      password = [ "state" ];
      ca = null;
      web = null;
      recorded = [ "state" ];
    };
  };

  # -- state

  requiredState = stateError (
    { providers, ... }:
    {
      members.password = {
        type = providers.secrets.password;
        inputs.name = "x";
      };
    }
  ) [ "members.password.state: secrets_password cannot do without state" ];

  requiredStateSetToNull = stateError (
    { members, providers, ... }:
    {
      state = members.state;
      members.state = {
        type = providers.state.sqlite;
        inputs.path = "/state";
      };
      members.password = {
        type = providers.secrets.password;
        state = null;
        inputs.name = "x";
      };
    }
  ) [ "members.password.state: secrets_password cannot do without state" ];

  stateAsAList = stateError (
    { providers, ... }:
    {
      members.x = {
        type = providers.probe.thing;
        state = [ "state" ];
      };
    }
  ) [ "members.x.state: must be a member, as in `members.state`, or null, but is a list" ];

  stateInAComponent = stateError (
    { members, providers, ... }:
    {
      state = members.inner;
      members.inner.members = { };
      members.x.type = providers.probe.thing;
    }
  ) [ "members.inner: has no type, it is a component" ];

  stateInSomethingElse = stateError (
    { members, providers, ... }:
    {
      members.a.type = providers.probe.thing;
      members.b = {
        type = providers.probe.thing;
        state = members.a;
      };
    }
  ) [ "members.b.state: members.a is a probe_thing, which cannot keep state" ];

  stateOfState = stateError (
    { members, providers, ... }:
    {
      members.a = {
        type = providers.state.sqlite;
        inputs.path = "/a";
      };
      members.b = {
        type = providers.state.sqlite;
        state = members.a;
        inputs.path = "/b";
      };
    }
  ) [ "members.b.state: state_sqlite has no state of its own; leave it out" ];
}

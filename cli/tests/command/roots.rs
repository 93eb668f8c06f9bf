//! Where a deployment is found.

use std::process::Command;

use crate::support::{Deployment, ran};

#[test]
fn a_flake_is_taken_where_there_is_no_file() {
    let deployment = Deployment::new("{ }");
    let write = |name: &str, text: &str| std::fs::write(deployment.path(name), text).unwrap();
    write(
        "flake.nix",
        "{ outputs = _: { nixops4 = import ./prelude.nix (s: with s; import ./members.nix s); }; }",
    );
    write(
        "members.nix",
        r#"s: with s; { inherit state; a = thing "a" { content = 1; }; }"#,
    );
    std::fs::remove_file(deployment.path("nixops4.nix")).unwrap();
    std::fs::create_dir(deployment.path("below")).unwrap();
    git(&deployment, &["init", "--quiet"]);
    git(
        &deployment,
        &["add", "flake.nix", "prelude.nix", "members.nix"],
    );
    deployment.run(&["apply"]).expect(0).says("1 created");
    let mut below = deployment.command(&["plan"]);
    below.current_dir(deployment.path("below"));
    ran(&mut below).expect(0).says("Nothing to do");

    // A mistake is shown in the author's own file, not in Nix's copy of it.
    write(
        "members.nix",
        "s: with s;\n{ inherit state; a = thing \"a\" { content = nonsense; }; }",
    );
    let own = deployment.path("members.nix");
    deployment
        .run(&["plan"])
        .expect(1)
        .says(&format!("{}:2:", own.to_string_lossy()))
        .says("nonsense");

    write("flake.nix", "{ outputs = _: { }; }");
    deployment
        .run(&["plan"])
        .expect(1)
        .says("the flake has no output nixops4");
}

#[test]
fn without_a_deployment_it_says_what_is_looked_for() {
    let deployment = Deployment::new("{ }");
    std::fs::remove_file(deployment.path("nixops4.nix")).unwrap();
    deployment
        .run(&["plan"])
        .expect(1)
        .says("neither nixops4.nix, nor a flake.nix");
    deployment
        .run(&["plan", "--file", "other.nix"])
        .expect(1)
        .says("cannot read the deployment other.nix");
}

fn git(deployment: &Deployment, arguments: &[&str]) {
    let status = Command::new("git")
        .args(arguments)
        .current_dir(deployment.path("."))
        .status()
        .unwrap();
    assert!(status.success());
}

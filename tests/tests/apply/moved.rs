//! The same server at another address: what is recorded at the old one is reached
//! at the new one.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nixops4_resources_tests::postgres::Config;

use super::{Site, in_project, summary, text};

/// An address of a server, until it is dropped.
struct Address {
    port: u16,
    is_gone: Arc<AtomicBool>,
}

impl Address {
    fn of(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let is_gone = Arc::new(AtomicBool::new(false));
        let gone = Arc::clone(&is_gone);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if gone.load(Ordering::Relaxed) {
                    return;
                }
                let server = TcpStream::connect(("127.0.0.1", server)).expect("a server");
                let other = |it: &TcpStream| it.try_clone().expect("a descriptor");
                pass(other(&client), other(&server));
                pass(server, client);
            }
        });
        Self { port, is_gone }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        // However it ends, the other side hears of it.
        let _ended = io::copy(&mut from, &mut to);
        let _gone = to.shutdown(Shutdown::Both);
    });
}

impl Drop for Address {
    fn drop(&mut self) {
        self.is_gone.store(true, Ordering::Relaxed);
        // It waits for somebody to come.
        let _refused = TcpStream::connect(("127.0.0.1", self.port));
    }
}

#[test]
fn a_server_that_moved_is_destroyed_from_and_collected_from() {
    let site = Site::new(&Config::default());
    let run = |port: u16, step: &str, arguments: &[&str]| -> Output {
        let file = in_project("tests/tests/apply/moved.nix");
        let port = port.to_string();
        site.run_with(&file, arguments, &[("DEMO_PORT", &port), ("STEP", step)])
    };
    let roles = || {
        site.server.sql(
            "SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles
             WHERE rolname IN ('stays', 'goes', 'left')",
        )
    };
    let old = Address::of(site.server.port());
    summary(&run(old.port, "1", &["apply"]));
    assert_eq!(roles(), "goes left stays");
    let (before, now) = (old.port, site.server.port());
    drop(old);

    // Nobody is there any more.
    let lost = run(before, "1", &["destroy", "--yes", "goes"]);
    assert_eq!(lost.status.code(), Some(1), "{}", text(&lost.stdout));
    assert_eq!(roles(), "goes left stays");

    // The expression knows the new address, and nothing was applied since.
    summary(&run(now, "1", &["destroy", "--yes", "goes"]));
    assert_eq!(roles(), "left stays");
    summary(&run(now, "2", &["gc", "--yes"]));
    assert_eq!(roles(), "stays");
    summary(&run(now, "2", &["destroy", "--yes"]));
    assert_eq!(roles(), "");
}

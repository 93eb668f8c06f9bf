//! Ports on loopback for servers that have to be told one.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A port that nobody else is given for as long as this exists: the socket is
/// bound and never listens, so a server can listen there, and while none does,
/// connections are refused.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _reservation: Socket,
}

impl Port {
    /// Reserves one.
    #[must_use]
    pub fn reserve() -> Self {
        let reserve = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.set_reuse_address(true)?;
            socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
            let address = socket.local_addr()?;
            Ok::<_, std::io::Error>((address, socket))
        };
        let (address, socket) = reserve().expect("cannot reserve a port");
        Self {
            number: address.as_socket_ipv4().expect("an IPv4 address").port(),
            _reservation: socket,
        }
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }
}

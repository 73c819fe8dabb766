//! The way out: from what a client asks for to an address that was checked, and to a connection to that very address.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::message::{Reply, Target};
use crate::network_policy::NetworkPolicy;

/// How many names are resolved at once. Each takes a thread while its resolver thinks.
pub const MAX_LOOKUPS: usize = 32;
/// How long a client waits for a name, its turn included.
const LOOKUP_LIMIT: Duration = Duration::from_secs(5);
/// How many of a name's addresses are tried.
const MAX_ADDRESSES: usize = 4;
/// How long each of them is tried.
const CONNECT_LIMIT: Duration = Duration::from_secs(8);

/// See the module.
#[derive(Debug)]
pub struct Egress {
    policy: NetworkPolicy,
    /// The addresses to go out from, at most one of each kind; the system chooses where there is none.
    sources: Vec<IpAddr>,
    lookups: Arc<Semaphore>,
}

impl Egress {
    /// Goes out from `sources` where `policy` permits.
    #[must_use]
    pub fn new(policy: NetworkPolicy, sources: Vec<IpAddr>) -> Self {
        Self { policy, sources, lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)) }
    }

    /// The rules.
    #[must_use]
    pub fn policy(&self) -> &NetworkPolicy {
        &self.policy
    }

    /// The addresses of a target that may be reached, at most `MAX_ADDRESSES`.
    ///
    /// # Errors
    /// [`Reply::NotAllowed`] when there are only others, [`Reply::HostUnreachable`] when there are none.
    pub async fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, Reply> {
        let found = match target {
            Target::Address(address) => vec![*address],
            Target::Domain(name, port) => self.resolve(name.clone(), *port).await?,
        };
        let none = if found.is_empty() { Reply::HostUnreachable } else { Reply::NotAllowed };
        let permitted = found.into_iter().filter_map(|address| self.policy.permitted(address));
        let permitted: Vec<_> = permitted.filter(|address| !is_own(*address)).take(MAX_ADDRESSES).collect();
        if permitted.is_empty() { Err(none) } else { Ok(permitted) }
    }

    async fn resolve(&self, name: String, port: u16) -> Result<Vec<SocketAddr>, Reply> {
        let found = timeout(LOOKUP_LIMIT, async {
            let permit = Arc::clone(&self.lookups).acquire_owned().await.ok()?;
            let lookup = spawn_blocking(move || {
                let found = (name, port).to_socket_addrs();
                // Given back when the resolver is done, not when the client has lost its patience.
                drop(permit);
                found
            });
            lookup.await.ok()?.ok()
        });
        let found = found.await.ok().flatten().ok_or(Reply::HostUnreachable)?;
        Ok(found.collect())
    }

    /// Connects to the first of the target's permitted addresses that answers.
    ///
    /// # Errors
    /// What the client is told.
    pub async fn connect(&self, target: &Target) -> Result<TcpStream, Reply> {
        let mut failure = Reply::HostUnreachable;
        for address in self.addresses(target).await? {
            match timeout(CONNECT_LIMIT, self.dial(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failure = reply_to(&error),
                Err(_) => failure = Reply::HostUnreachable,
            }
        }
        Err(failure)
    }

    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if let Some(source) = self.source(address.is_ipv4()) {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn source(&self, ipv4: bool) -> Option<IpAddr> {
        self.sources.iter().copied().find(|source| source.is_ipv4() == ipv4)
    }

    /// A socket for datagrams to one kind of address.
    ///
    /// # Errors
    /// The system's, for instance on a host without IPv6.
    pub async fn datagrams(&self, ipv4: bool) -> io::Result<UdpSocket> {
        let source = self.source(ipv4).unwrap_or(unspecified(ipv4));
        UdpSocket::bind(SocketAddr::new(source, 0)).await
    }
}

fn unspecified(ipv4: bool) -> IpAddr {
    if ipv4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

/// Whether an address is one of the host's own: then, and only then, the way to it begins at itself. Nothing is sent. An
/// address that there is no way to is nobody's.
fn is_own(address: SocketAddr) -> bool {
    let begins_at = || {
        let socket = std::net::UdpSocket::bind(SocketAddr::new(unspecified(address.is_ipv4()), 0))?;
        socket.connect(address)?;
        socket.local_addr()
    };
    begins_at().is_ok_and(|start| start.ip() == address.ip())
}

fn reply_to(error: &io::Error) -> Reply {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Reply::ConnectionRefused,
        io::ErrorKind::NetworkUnreachable => Reply::NetworkUnreachable,
        io::ErrorKind::HostUnreachable | io::ErrorKind::TimedOut => Reply::HostUnreachable,
        // What a firewall's rules answer to a connection.
        io::ErrorKind::PermissionDenied => Reply::NotAllowed,
        _ => Reply::GeneralFailure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> Egress {
        let any = ["0.0.0.0/0", "::/0"].map(|network| network.parse().unwrap());
        Egress::new(NetworkPolicy::new(Vec::new(), any.to_vec(), Vec::new()), Vec::new())
    }

    #[tokio::test]
    async fn a_name_for_the_host_itself_is_not_allowed_and_no_name_is_unreachable() {
        let to = |name: &str| Target::Domain(name.into(), 80);
        for name in ["localhost", "127.1", "0x7f.1", "2130706433", "0"] {
            assert_eq!(open().addresses(&to(name)).await, Err(Reply::NotAllowed), "{name}");
        }
        assert_eq!(open().addresses(&to("nobody.invalid")).await, Err(Reply::HostUnreachable));
    }

    #[test]
    fn an_own_address_is_known_by_the_way_to_it() {
        assert!(is_own("127.0.0.1:80".parse().unwrap()));
        assert!(!is_own("192.0.2.200:80".parse().unwrap()));
    }
}

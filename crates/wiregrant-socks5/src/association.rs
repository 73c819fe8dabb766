//! A UDP association: datagrams between one client and whom it writes to, for as long as its TCP connection stands.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpStream, UdpSocket};
use tokio::time::Instant;

use crate::account::Admission;
use crate::egress::Egress;
use crate::message::{MAX_ADDRESS_HEADER_BYTES, Target, datagram, datagram_header};
use crate::relay::{count, until_idle};

/// The longest datagram.
const MAX_DATAGRAM_BYTES: usize = 1 << 16;
/// How many addresses a client may write to at once; the one written to longest ago is forgotten.
const MAX_CORRESPONDENTS: usize = 256;
/// How many names are remembered with their addresses, for as long as the association lasts.
const MAX_NAMES: usize = 64;

/// The sockets of an association.
pub struct Association {
    /// Towards the client, on the address that its TCP connection came to.
    inside: UdpSocket,
    v4: Option<UdpSocket>,
    v6: Option<UdpSocket>,
    client_ip: IpAddr,
    /// Where the client's first datagram came from; all others must.
    client: Mutex<Option<SocketAddr>>,
    correspondents: Mutex<VecDeque<SocketAddr>>,
    moves: AtomicU64,
}

impl Association {
    /// Opens the sockets for the client of a TCP connection.
    ///
    /// # Errors
    /// The system's.
    pub async fn open(control: &TcpStream, egress: &Egress) -> io::Result<Self> {
        let near = control.local_addr()?.ip().to_canonical();
        let client_ip = control.peer_addr()?.ip().to_canonical();
        let inside = UdpSocket::bind(SocketAddr::new(near, 0)).await?;
        // A host may have one kind of address only.
        let (v4, v6) = (egress.datagrams(true).await.ok(), egress.datagrams(false).await.ok());
        Ok(Self {
            inside,
            v4,
            v6,
            client_ip,
            client: Mutex::default(),
            correspondents: Mutex::default(),
            moves: AtomicU64::new(0),
        })
    }

    /// Where the client is to send its datagrams.
    ///
    /// # Errors
    /// The system's.
    pub fn bound(&self) -> io::Result<SocketAddr> {
        self.inside.local_addr()
    }

    /// Passes datagrams until the TCP connection ends or nothing has moved for `idle`.
    pub async fn run(&self, control: &TcpStream, egress: &Egress, admission: &Admission, idle: Duration) {
        tokio::select! {
            () = until_closed(control) => {}
            () = until_idle(&self.moves, idle) => {}
            _ = self.out(egress, admission) => {}
            _ = self.back(self.v4.as_ref(), admission) => {}
            _ = self.back(self.v6.as_ref(), admission) => {}
        }
    }

    /// From the client.
    async fn out(&self, egress: &Egress, admission: &Admission) -> io::Result<()> {
        let mut buffer = vec![0; MAX_DATAGRAM_BYTES];
        let mut names = BTreeMap::new();
        loop {
            let (length, from) = self.inside.recv_from(&mut buffer).await?;
            if !self.is_client(from) {
                continue;
            }
            let Ok((target, start)) = datagram(&buffer[..length]) else { continue };
            let Some(to) = self.resolved(target, egress, &mut names).await else { continue };
            let Some(socket) = (if to.is_ipv4() { &self.v4 } else { &self.v6 }) else { continue };
            if !admission.up().admits(length - start, Instant::now()) {
                continue;
            }
            // Noted before: the answer may be faster than the note.
            self.write_to(to);
            // What the network does not take, for instance because it is too large, is lost as datagrams are.
            if socket.send_to(&buffer[start..length], to).await.is_ok() {
                count(&admission.counters().received, length - start);
                self.moves.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// To the client.
    async fn back(&self, socket: Option<&UdpSocket>, admission: &Admission) -> io::Result<()> {
        let Some(socket) = socket else { return std::future::pending().await };
        let mut buffer = vec![0; MAX_ADDRESS_HEADER_BYTES + MAX_DATAGRAM_BYTES];
        loop {
            // An error is told of an earlier datagram that somebody refused.
            let received = socket.recv_from(&mut buffer[MAX_ADDRESS_HEADER_BYTES..]).await;
            let Ok((length, from)) = received else { continue };
            // A stranger who finds the port must not use up the client's allotment.
            let awaited = lock(&self.correspondents).contains(&from);
            let client = *lock(&self.client);
            let (true, Some(client)) = (awaited, client) else { continue };
            if !admission.down().admits(length, Instant::now()) {
                continue;
            }
            let header = datagram_header(from);
            let start = MAX_ADDRESS_HEADER_BYTES - header.len();
            buffer[start..MAX_ADDRESS_HEADER_BYTES].copy_from_slice(&header);
            let packet = &buffer[start..MAX_ADDRESS_HEADER_BYTES + length];
            if self.inside.send_to(packet, client).await.is_ok() {
                count(&admission.counters().sent, length);
                self.moves.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Whether a datagram is the client's: from the address of its TCP connection, and from the first one's port.
    fn is_client(&self, from: SocketAddr) -> bool {
        from.ip().to_canonical() == self.client_ip && *lock(&self.client).get_or_insert(from) == from
    }

    /// Where a datagram goes, if it may.
    async fn resolved(
        &self,
        target: Target,
        egress: &Egress,
        names: &mut BTreeMap<(String, u16), SocketAddr>,
    ) -> Option<SocketAddr> {
        let name = match &target {
            // It was permitted when it was written to first, and an address does not become the host's own meanwhile.
            Target::Address(address) if lock(&self.correspondents).contains(address) => {
                return Some(*address);
            }
            Target::Address(_) => None,
            Target::Domain(name, port) => Some((name.clone(), *port)),
        };
        if let Some(known) = name.as_ref().and_then(|name| names.get(name)) {
            return Some(*known);
        }
        let address = *egress.addresses(&target).await.ok()?.first()?;
        if let Some(name) = name {
            if names.len() >= MAX_NAMES {
                names.clear();
            }
            names.insert(name, address);
        }
        Some(address)
    }

    fn write_to(&self, address: SocketAddr) {
        let mut correspondents = lock(&self.correspondents);
        if correspondents.contains(&address) {
            return;
        }
        if correspondents.len() >= MAX_CORRESPONDENTS {
            correspondents.pop_front();
        }
        correspondents.push_back(address);
    }
}

/// A value that is whole at every step.
fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns when the client ends its TCP connection. What it sends on it means nothing.
async fn until_closed(control: &TcpStream) {
    let mut buffer = [0; 256];
    loop {
        let Ok(()) = control.readable().await else { return };
        match control.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

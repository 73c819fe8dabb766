//! A session: one client's connection, from its greeting to its end. Neither who it is nor where it comes from or goes to is
//! logged or kept.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::account::{Accounts, Admission, NotAdmitted};
use crate::association::Association;
use crate::egress::Egress;
use crate::message::{
    Command, MAX_MESSAGE_BYTES, METHOD_NONE, METHOD_USERNAME_PASSWORD, Parsed, Reply, Request, credentials,
    greeting, method_selection, negotiation_status, request,
};
use crate::pipe::Pipes;
use crate::relay::{Idle, count, relay};

/// What is read of a client at once before it is answered.
const READ_BYTES: usize = 1024;
/// What an answer says where there is no address to tell.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// What sessions share.
pub struct Sessions {
    /// Who is served.
    pub accounts: Arc<Accounts>,
    /// The way out.
    pub egress: Arc<Egress>,
    /// What bytes are carried with.
    pub pipes: Pipes,
    /// How many UDP associations there may be.
    pub associations: Semaphore,
    /// How long a client may take to say what it wants.
    pub handshake: Duration,
    /// How long nothing may move.
    pub idle: Idle,
}

/// What a client sent that no message has taken yet. It may hold a password, so it is overwritten when it goes.
struct Inbox(Zeroizing<Vec<u8>>);

impl Inbox {
    /// With room for a message that is not whole and for what is read at once: growing would leave a copy behind.
    fn new() -> Self {
        Self(Zeroizing::new(Vec::with_capacity(MAX_MESSAGE_BYTES + READ_BYTES)))
    }

    /// The next message, once it is whole.
    async fn next<T>(
        &mut self,
        client: &TcpStream,
        parse: impl Fn(&[u8]) -> Parsed<T>,
    ) -> io::Result<Result<T, Option<Reply>>> {
        loop {
            match parse(&self.0) {
                Ok(Some((message, length))) => {
                    self.0.drain(..length);
                    return Ok(Ok(message));
                }
                Ok(None) => self.read(client).await?,
                Err(error) => return Ok(Err(error.reply())),
            }
        }
    }

    async fn read(&mut self, client: &TcpStream) -> io::Result<()> {
        let mut chunk = Zeroizing::new([0; READ_BYTES]);
        loop {
            client.readable().await?;
            match client.try_read(&mut chunk[..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    self.0.extend_from_slice(&chunk[..length]);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Sessions {
    /// Serves a client to its end. `handshaking` is given back once it has said what it wants.
    pub async fn serve(&self, client: TcpStream, handshaking: OwnedSemaphorePermit) {
        let mut inbox = Inbox::new();
        let opened = timeout(self.handshake, self.open(&client, &mut inbox)).await;
        drop(handshaking);
        // Who is too slow, not admitted or not understood has been told what there is to tell.
        let Ok(Ok(Some((admission, request)))) = opened else { return };
        tokio::select! {
            () = admission.cut() => {}
            // A client that is gone needs nothing more.
            _ = self.perform(&client, &admission, request, inbox) => {}
        }
    }

    /// Greeting, credentials and request; `None` when the client was refused.
    async fn open(&self, client: &TcpStream, inbox: &mut Inbox) -> io::Result<Option<(Admission, Request)>> {
        let Ok(offered) = inbox.next(client, greeting).await? else { return Ok(None) };
        send(client, &method_selection(if offered { METHOD_USERNAME_PASSWORD } else { METHOD_NONE })).await?;
        if !offered {
            return Ok(None);
        }
        let admit = |bytes: &[u8]| {
            Ok(credentials(bytes)?.map(|(credentials, length)| (self.accounts.admit(credentials), length)))
        };
        let Ok(admission) = inbox.next(client, admit).await? else { return Ok(None) };
        let known = !matches!(admission, Err(NotAdmitted::Login));
        send(client, &negotiation_status(known)).await?;
        if !known {
            return Ok(None);
        }
        let request = match inbox.next(client, request).await? {
            Ok(request) => request,
            Err(reply) => {
                if let Some(reply) = reply {
                    send(client, &reply.to_bytes(NOWHERE)).await?;
                }
                return Ok(None);
            }
        };
        match admission {
            Ok(admission) => Ok(Some((admission, request))),
            Err(_) => {
                send(client, &Reply::GeneralFailure.to_bytes(NOWHERE)).await?;
                Ok(None)
            }
        }
    }

    /// Does what the client wants.
    async fn perform(
        &self,
        client: &TcpStream,
        admission: &Admission,
        request: Request,
        inbox: Inbox,
    ) -> io::Result<()> {
        match request.command {
            Command::Connect => match self.egress.connect(&request.target).await {
                Ok(target) => self.relay(client, admission, &target, inbox).await,
                Err(reply) => send(client, &reply.to_bytes(NOWHERE)).await,
            },
            Command::Associate => {
                let opened = match self.associations.try_acquire() {
                    Ok(permit) => {
                        Association::open(client, &self.egress).await.map(|opened| (opened, permit))
                    }
                    Err(_) => Err(io::ErrorKind::QuotaExceeded.into()),
                };
                let Ok((association, _permit)) = opened else {
                    return send(client, &Reply::GeneralFailure.to_bytes(NOWHERE)).await;
                };
                send(client, &Reply::Succeeded.to_bytes(association.bound()?)).await?;
                association.run(client, &self.egress, admission, self.idle.open).await;
                Ok(())
            }
        }
    }

    async fn relay(
        &self,
        client: &TcpStream,
        admission: &Admission,
        target: &TcpStream,
        inbox: Inbox,
    ) -> io::Result<()> {
        let bound = target.local_addr()?;
        send(client, &Reply::Succeeded.to_bytes(bound)).await?;
        // A client may send before it is answered.
        count(&admission.counters().received, inbox.0.len());
        send(target, &inbox.0).await?;
        drop(inbox);
        relay(client, target, admission, &self.pipes, self.idle).await;
        Ok(())
    }
}

/// Writes all of it.
async fn send(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

//! The relay of a connection: bytes to and fro, each counted where it touches the client's socket.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::net::{Shutdown, shutdown};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep};

use crate::account::{Admission, Counters};
use crate::pace::Toll;
use crate::pipe::{Carriage, Pipes};

/// A connection counts as idle after so many looks at which nothing had moved.
const IDLE_LOOKS: u32 = 4;

/// Where a byte is counted: on the client's side of the relay, in both directions.
#[derive(Clone, Copy)]
enum Counted<'a> {
    /// When it arrives from the client.
    Arriving(&'a AtomicU64),
    /// When it leaves to the client. What the target sent and the client did not take is not counted.
    Leaving(&'a AtomicU64),
}

/// How long nothing may move on a connection; at most a quarter longer.
#[derive(Debug, Clone, Copy)]
pub struct Idle {
    /// While both sides may say something.
    pub open: Duration,
    /// Once one of them has said all it says. Most often it is gone, and the other waits for somebody who never comes back.
    pub half_closed: Duration,
}

/// Relays until both sides have ended, one fails, or nothing has moved for too long.
pub async fn relay(client: &TcpStream, target: &TcpStream, admission: &Admission, pipes: &Pipes, idle: Idle) {
    let Counters { received, sent } = admission.counters();
    let (moves, ended) = (AtomicU64::new(0), Notify::new());
    let up = Way { counted: Counted::Arriving(received), toll: admission.up(), moves: &moves, ended: &ended };
    let down = Way { counted: Counted::Leaving(sent), toll: admission.down(), ..up };
    tokio::select! {
        // An error on one side is the end of both; its reason is the client's or the target's own affair.
        _ = async { tokio::try_join!(up.pass(client, target, pipes), down.pass(target, client, pipes)) } => {}
        () = until_idle(&moves, idle.open) => {}
        () = async {
            ended.notified().await;
            until_idle(&moves, idle.half_closed).await;
        } => {}
    }
}

/// Returns when `moves` has not risen for `idle`.
pub async fn until_idle(moves: &AtomicU64, idle: Duration) {
    let (mut last, mut looks) = (0, 0);
    while looks < IDLE_LOOKS {
        sleep(idle / IDLE_LOOKS).await;
        let now = moves.load(Ordering::Relaxed);
        looks = if now == last { looks + 1 } else { 0 };
        last = now;
    }
}

/// One direction.
#[derive(Clone, Copy)]
struct Way<'a> {
    counted: Counted<'a>,
    toll: Toll<'a>,
    moves: &'a AtomicU64,
    ended: &'a Notify,
}

impl Way<'_> {
    /// Passes bytes until the end; then the receiver is told that nothing more comes.
    async fn pass(&self, from: &TcpStream, to: &TcpStream, pipes: &Pipes) -> io::Result<()> {
        loop {
            from.readable().await?;
            let mut carriage = pipes.carriage();
            let wait = loop {
                match carriage.load(from, self.toll.share()) {
                    Ok(0) => {
                        // A side that is gone needs not be told.
                        let _ = shutdown(to, Shutdown::Write);
                        self.ended.notify_one();
                        return Ok(());
                    }
                    Ok(bytes) => {
                        if let Counted::Arriving(counter) = self.counted {
                            count(counter, bytes);
                        }
                        self.moves.fetch_add(1, Ordering::Relaxed);
                        self.deliver(&mut carriage, to).await?;
                        let wait = self.toll.charge(bytes, Instant::now());
                        if !wait.is_zero() {
                            break wait;
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Duration::ZERO,
                    Err(error) => return Err(error),
                }
                // A fast connection must not starve the others of its thread.
                consume_budget().await;
            };
            // Given back before the wait: who waits for a rate needs no pipe.
            drop(carriage);
            if !wait.is_zero() {
                sleep(wait).await;
            }
        }
    }

    /// Hands over all that is loaded.
    async fn deliver(&self, carriage: &mut Carriage<'_>, to: &TcpStream) -> io::Result<()> {
        while !carriage.is_empty() {
            match carriage.unload(to) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => {
                    if let Counted::Leaving(counter) = self.counted {
                        count(counter, bytes);
                    }
                    self.moves.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => to.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Adds to a counter.
pub fn count(counter: &AtomicU64, bytes: usize) {
    // A machine word of bytes fits.
    counter.fetch_add(bytes as u64, Ordering::AcqRel);
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use wiregrant_core::socks5::metering::Rates;

    const IDLE: Idle = Idle { open: Duration::from_secs(60), half_closed: Duration::from_secs(60) };

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (stream, listener.accept().await.unwrap().0)
    }

    fn counted(admission: &Admission) -> (u64, u64) {
        let counters = admission.counters();
        (counters.received.load(Ordering::Acquire), counters.sent.load(Ordering::Acquire))
    }

    #[tokio::test]
    async fn every_byte_passes_and_counts_and_each_side_ends_by_itself() {
        let ((mut client, near), (far, mut target)) = (pair().await, pair().await);
        // A rate that the whole takes a moment at: its bytes are the same as without one.
        let rates = Rates { all: NonZeroU64::new(20_000_000), device: NonZeroU64::new(100_000_000) };
        let (admission, pipes) = (Admission::at(rates).await, Pipes::default());
        let (up, down) = (vec![1; 3_000_001], vec![2; 5_000_003]);
        let talk = async {
            let (mut from_client, mut to_client) = client.split();
            let (mut from_target, mut to_target) = target.split();
            let (mut arrived_up, mut arrived_down) = (Vec::new(), Vec::new());
            let (a, b, c) = tokio::join!(
                async {
                    to_client.write_all(&up).await?;
                    to_client.shutdown().await
                },
                async {
                    // The client has said all it says before the target begins: the connection is half open then.
                    from_target.read_to_end(&mut arrived_up).await?;
                    to_target.write_all(&down).await?;
                    to_target.shutdown().await
                },
                from_client.read_to_end(&mut arrived_down),
            );
            a.unwrap();
            b.unwrap();
            c.unwrap();
            assert!(arrived_up == up && arrived_down == down);
        };
        tokio::join!(talk, relay(&near, &far, &admission, &pipes, IDLE));
        assert_eq!(counted(&admission), (3_000_001, 5_000_003));
    }

    #[tokio::test]
    async fn what_the_client_does_not_take_is_not_counted_as_sent() {
        let ((client, near), (far, mut target)) = (pair().await, pair().await);
        let (admission, pipes) = (Admission::at(Rates::default()).await, Pipes::default());
        let flood = async {
            // Ends when the relay does: the client's window, the relay and the target's own buffer are full before.
            let chunk = vec![0; 1 << 20];
            let mut written = 0;
            while let Ok(bytes) = target.write(&chunk).await {
                written += bytes as u64;
            }
            written
        };
        let idle = async {
            let idle = Idle { open: Duration::from_millis(400), ..IDLE };
            relay(&near, &far, &admission, &pipes, idle).await;
            drop((near, far));
        };
        let (written, ()) = tokio::join!(flood, idle);
        let (received, sent) = counted(&admission);
        assert!(received == 0 && sent > 0 && sent < written, "{sent} of {written}");
        // What was counted as sent lies in the client's hands, to the byte.
        let mut client = client;
        let mut arrived = 0;
        let mut buffer = vec![0; 1 << 20];
        while let Ok(bytes @ 1..) = client.read(&mut buffer).await {
            arrived += bytes as u64;
        }
        assert_eq!(arrived, sent);
    }

    #[tokio::test]
    async fn a_connection_on_which_nothing_moves_is_cut() {
        let ((_client, near), (far, _target)) = (pair().await, pair().await);
        let admission = Admission::at(Rates::default()).await;
        relay(&near, &far, &admission, &Pipes::default(), Idle { open: Duration::from_millis(40), ..IDLE })
            .await;
    }

    #[tokio::test]
    async fn who_waits_for_a_side_that_has_left_is_cut_sooner() {
        let ((client, near), (far, _target)) = (pair().await, pair().await);
        let admission = Admission::at(Rates::default()).await;
        shutdown(&client, Shutdown::Write).unwrap();
        // It would be a minute if it had not.
        let idle = Idle { half_closed: Duration::from_millis(40), ..IDLE };
        relay(&near, &far, &admission, &Pipes::default(), idle).await;
    }
}

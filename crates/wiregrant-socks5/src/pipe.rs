//! Pipes: through them bytes go from socket to socket inside the kernel, without being copied into this process.
//!
//! A pipe is taken from the pool while there are bytes in it and given back empty, so that idle connections hold none: the
//! kernel lets a user without privileges have 64 MiB of pipes (`pipe-user-pages-soft`). Where none is free, bytes are copied.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// How much a pipe holds: what two sockets of a fast connection hand over at once.
const PIPE_BYTES: usize = 256 << 10;
/// A pipe that holds less is slower than copying: the kernel gives such to a user who has too many.
const LEAST_PIPE_BYTES: usize = 64 << 10;
/// Pipes in use at once. All together stay within what the kernel gives a user without privileges.
const MAX_PIPES: usize = 192;
/// Free pipes that are kept.
const MAX_FREE: usize = 64;
/// What is copied at once where there is no pipe.
const COPY_BYTES: usize = 32 << 10;

/// The pool.
#[derive(Debug, Default)]
pub struct Pipes {
    pool: Mutex<Pool>,
}

#[derive(Debug, Default)]
struct Pool {
    free: Vec<Pipe>,
    in_use: usize,
}

#[derive(Debug)]
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

/// Bytes on their way from one socket to another.
#[derive(Debug)]
pub struct Carriage<'a> {
    pipes: &'a Pipes,
    means: Means,
    /// How many there are.
    loaded: usize,
}

#[derive(Debug)]
enum Means {
    Pipe(Pipe),
    /// The bytes end at `Carriage::loaded` after `start`.
    Copy {
        buffer: Vec<u8>,
        start: usize,
    },
    /// The pipe has been given back.
    Returned,
}

impl Pipes {
    fn pool(&self) -> MutexGuard<'_, Pool> {
        // A number and a list: whole at every step.
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something to carry bytes with: a pipe if there is one.
    #[must_use]
    pub fn carriage(&self) -> Carriage<'_> {
        let means = self.pipe().map_or_else(|| Means::Copy { buffer: Vec::new(), start: 0 }, Means::Pipe);
        Carriage { pipes: self, means, loaded: 0 }
    }

    fn pipe(&self) -> Option<Pipe> {
        {
            let mut pool = self.pool();
            if pool.in_use >= MAX_PIPES {
                return None;
            }
            pool.in_use += 1;
            if let Some(pipe) = pool.free.pop() {
                return Some(pipe);
            }
        }
        let made = Pipe::new();
        if made.is_none() {
            self.pool().in_use -= 1;
        }
        made
    }
}

impl Pipe {
    fn new() -> Option<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        // What it holds when it may not hold more is asked for by asking for the least.
        let holds = fcntl_setpipe_size(&write, PIPE_BYTES)
            .or_else(|_| fcntl_setpipe_size(&write, LEAST_PIPE_BYTES))
            .ok()?;
        (holds >= LEAST_PIPE_BYTES).then_some(Self { read, write })
    }
}

impl Carriage<'_> {
    /// Whether there is nothing on its way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.loaded == 0
    }

    /// Takes from a socket what there is, at least a byte and at most `most`, and gives how many; 0 at its end. Only when it
    /// [is empty](Self::is_empty).
    ///
    /// # Errors
    /// The socket's; [`io::ErrorKind::WouldBlock`] when nothing has arrived.
    pub fn load(&mut self, from: &TcpStream, most: usize) -> io::Result<usize> {
        let loaded = match &mut self.means {
            Means::Pipe(pipe) => {
                from.try_io(Interest::READABLE, || moved(from, &pipe.write, PIPE_BYTES.min(most)))?
            }
            Means::Copy { buffer, start } => {
                *start = 0;
                buffer.resize(COPY_BYTES.min(most), 0);
                from.try_read(buffer)?
            }
            Means::Returned => 0,
        };
        self.loaded = loaded;
        Ok(loaded)
    }

    /// Gives to a socket what it takes, and says how many bytes that were.
    ///
    /// # Errors
    /// The socket's; [`io::ErrorKind::WouldBlock`] when it takes nothing now.
    pub fn unload(&mut self, to: &TcpStream) -> io::Result<usize> {
        let unloaded = match &mut self.means {
            Means::Pipe(pipe) => to.try_io(Interest::WRITABLE, || moved(&pipe.read, to, self.loaded))?,
            Means::Copy { buffer, start } => {
                let written = to.try_write(&buffer[*start..*start + self.loaded])?;
                *start += written;
                written
            }
            Means::Returned => 0,
        };
        self.loaded -= unloaded;
        Ok(unloaded)
    }
}

impl Drop for Carriage<'_> {
    fn drop(&mut self) {
        if let Means::Pipe(pipe) = std::mem::replace(&mut self.means, Means::Returned) {
            let mut pool = self.pipes.pool();
            pool.in_use -= 1;
            // What one connection left in it must never come out in another.
            if self.loaded == 0 && pool.free.len() < MAX_FREE {
                pool.free.push(pipe);
            }
        }
    }
}

fn moved<From: rustix::fd::AsFd, To: rustix::fd::AsFd>(from: From, to: To, most: usize) -> io::Result<usize> {
    loop {
        match splice(&from, None, &to, None, most, SpliceFlags::NONBLOCK | SpliceFlags::MOVE) {
            Err(Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (stream, listener.accept().await.unwrap().0)
    }

    async fn carried(carriage: &mut Carriage<'_>, text: &[u8]) -> Vec<u8> {
        let ((from, a), (b, to)) = (pair().await, pair().await);
        from.writable().await.unwrap();
        assert_eq!(from.try_write(text).unwrap(), text.len());
        a.readable().await.unwrap();
        assert_eq!(carriage.load(&a, usize::MAX).unwrap(), text.len());
        b.writable().await.unwrap();
        assert_eq!(carriage.unload(&b).unwrap(), text.len());
        assert!(carriage.is_empty());
        let mut read = vec![0; 100];
        to.readable().await.unwrap();
        let length = to.try_read(&mut read).unwrap();
        read.truncate(length);
        read
    }

    #[tokio::test]
    async fn bytes_arrive_as_they_left_through_a_pipe_and_without_one() {
        let pipes = Pipes::default();
        for means in ["pipe", "copy"] {
            let mut carriage = pipes.carriage();
            assert!(matches!(carriage.means, Means::Pipe(_)));
            if means == "copy" {
                pipes.pool().in_use = MAX_PIPES + 1;
                carriage = pipes.carriage();
                assert!(matches!(carriage.means, Means::Copy { .. }));
            }
            assert_eq!(carried(&mut carriage, b"over there").await, b"over there");
            assert_eq!(carried(&mut carriage, b"again").await, b"again");
        }
    }

    fn kept_and_used(pipes: &Pipes) -> (usize, usize) {
        let pool = pipes.pool();
        (pool.free.len(), pool.in_use)
    }

    #[tokio::test]
    async fn a_pipe_is_kept_when_it_is_empty_and_never_with_bytes_in_it() {
        let pipes = Pipes::default();
        drop(pipes.carriage());
        assert_eq!(kept_and_used(&pipes), (1, 0));
        let (from, a) = pair().await;
        from.writable().await.unwrap();
        from.try_write(b"left behind").unwrap();
        a.readable().await.unwrap();
        let mut carriage = pipes.carriage();
        assert_eq!(carriage.load(&a, 11).unwrap(), 11);
        drop(carriage);
        assert_eq!(kept_and_used(&pipes), (0, 0));
    }
}

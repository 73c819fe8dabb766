//! What the end-to-end tests share: a world of their own, and traffic that does not stop.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use testbed::client;
use testbed::node::Pace;
use testbed::process::Process;
use testbed::programs::Programs;
use testbed::traffic::Order;
use testbed::wait::eventually;
use testbed::world::{GrantPlan, World};

/// For what happens within seconds, also on a machine that does much else.
pub const LIMIT: Duration = Duration::from_secs(120);
const PEOPLE: usize = 2;
/// Epochs end all the time while things are killed.
const PLAN: GrantPlan =
    GrantPlan { epochs: 10_000, epoch_seconds: 7, starts_in_seconds: 10, sats: 100_000_000 };
/// About three seconds of each person's traffic.
const ORDER: Order = Order { up: 500_000, down: 1_500_000, bytes_per_second: 500_000 };

/// Worlds are heavy: one at a time in a test binary.
static WORLD: Mutex<()> = Mutex::new(());

/// Waits for the turn of this test.
pub fn turn() -> MutexGuard<'static, ()> {
    WORLD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The binaries that were built with this test.
pub fn programs() -> Programs {
    Programs::beside(Path::new(env!("CARGO_BIN_EXE_testbed"))).expect("the binaries of the workspace")
}

/// A control plane, a node with a reading and a report a second, connected people, and a grant whose epochs have begun.
pub fn world() -> World {
    let pace = Pace { sample_seconds: 1, report_seconds: 1 };
    let mut world = World::new(programs(), PEOPLE, pace, None, &|_| {}).expect("a world");
    let grant = world.open_grant(PLAN).expect("a grant");
    world.connect_people().expect("connected people");
    world.await_first_epoch(&grant.terms.schedule()).expect("the first epoch");
    world
}

/// Everybody's transfers, one after the other; each is checked to the byte.
pub struct Traffic {
    transfers: Vec<Process>,
    pub finished: usize,
}

impl Traffic {
    pub fn start(world: &World) -> Self {
        Self { transfers: (0..PEOPLE).map(|number| start(world, number)).collect(), finished: 0 }
    }

    /// Begins the next transfer of whoever has finished one. A transfer that failed ends the test.
    pub fn go_on(&mut self, world: &World) {
        for (number, transfer) in self.transfers.iter_mut().enumerate() {
            if finished(transfer) {
                *transfer = start(world, number);
                self.finished += 1;
            }
        }
    }

    /// Waits for the last byte of what is under way.
    pub fn finish(mut self) -> usize {
        let mut left = std::mem::take(&mut self.transfers);
        eventually("the last byte of the traffic", LIMIT, &[], || {
            left.retain_mut(|transfer| !finished(transfer));
            Ok(left.is_empty().then_some(()))
        })
        .expect("traffic");
        self.finished + PEOPLE
    }
}

fn start(world: &World, number: usize) -> Process {
    let (person, host) = (&world.people[number], &world.network.people[number]);
    person.start_transfer(&world.programs, host, world.sink(), ORDER).expect("a transfer")
}

fn finished(transfer: &mut Process) -> bool {
    let Some(printed) = transfer.finished().expect("every byte arrives and is right") else { return false };
    let moved = client::transfer(&printed).expect("a transfer");
    assert_eq!((moved.sent_bytes, moved.received_bytes), (ORDER.up, ORDER.down));
    true
}

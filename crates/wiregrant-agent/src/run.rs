//! `wiregrant-agent run`: samples, converges and delivers until it is told to stop, and leaves the tunnel up.

use std::future::pending;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use transparency_log::WitnessPolicy;
use wiregrant_core::Timestamp;
use wiregrant_core::note::Salt;

use crate::backoff::{Backoff, CAP, LONG_CAP};
use crate::clock::{self, Moment};
use crate::condition::{Telling, tell};
use crate::config::{Config, Source};
use crate::control_plane::{ControlPlane, asked_to_wait};
use crate::health::Health;
use crate::host::firewall::Firewall;
use crate::keeper::Keeper;
use crate::metrics::{self, Figures};
use crate::rekey;
use crate::sender::{Delivery, deliver, kept};
use crate::service_manager::{Environment, ServiceManager};
use crate::state_dir::StateDir;
use crate::wireguard::{self, InterfaceName, Starter};
use crate::witnessed::{self, Witnessing};

/// How long the control plane may hold an answer back while nothing changes, in seconds.
const LONG_POLL_SECONDS: u64 = 30;
/// The least between two questions for what is wanted after an answer that brought nothing new: a control plane that does not
/// hold such answers back is not asked faster.
const UNCHANGED_PAUSE: Duration = Duration::from_secs(1);
/// The least between two questions after an answer that brought something: changes made meanwhile come together in the next.
const CHANGED_PAUSE: Duration = Duration::from_millis(100);

/// The least between two conditions: what changes meanwhile is told together.
const TELLING_PAUSE: Duration = Duration::from_secs(1);
/// How long until an older control plane is tried again, should it have been upgraded.
const NOT_UNDERSTOOD_PAUSE: Duration = Duration::from_secs(3600);

/// What the loops share.
struct Agent {
    keeper: Mutex<Keeper>,
    control_plane: ControlPlane,
    source: Source,
    /// What the operator chose, as it stands now. The keeper has the same; this one tells the loops when it changes.
    config: watch::Sender<Arc<Config>>,
    service_manager: ServiceManager,
    /// As of the last turn of sampling.
    figures: Arc<Mutex<Figures>>,
    /// There may be something to deliver.
    due: Notify,
    /// The node's condition may have changed.
    changed: Notify,
}

/// What the agent is told from outside.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// Runs the agent on a state directory.
///
/// # Errors
/// When the node has not joined, another agent runs, the journal is damaged, or the interface cannot be had.
pub fn run(dir: StateDir, source: Source, starter: Starter) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Heard from here on: a SIGHUP during a start would end a process that does not expect it.
    let signals = runtime.block_on(async { Signals::new() })?;
    let service_manager = ServiceManager::new(&Environment::of_process())?;
    let config = Arc::new(source.read()?);
    let enrolment = dir.joined()?;
    let _lock = dir.lock()?;
    let name: InterfaceName = enrolment.interface.parse()?;
    let interface = wireguard::open_with(enrolment.backend.parse()?, name.clone(), starter)?;
    let boot_id = boot_id()?;
    tracing::info!(node = %enrolment.node, operator = %enrolment.operator, "starting");
    let control_plane = ControlPlane::new(&enrolment.urls, enrolment.pin);
    let enrolment = rekey::finish_if_begun(&dir, enrolment, &control_plane);
    let firewall = Firewall::new(name, &enrolment.addresses, &config, &dir, &boot_id);
    let mut keeper = Keeper::start(dir, enrolment, interface, &boot_id, Arc::clone(&config))?;
    keeper.stand_behind(firewall);
    let agent = Arc::new(Agent {
        keeper: Mutex::new(keeper),
        control_plane,
        source,
        config: watch::Sender::new(config),
        service_manager,
        figures: Arc::default(),
        due: Notify::new(),
        changed: Notify::new(),
    });
    let result = runtime.block_on(until_stopped(&agent, signals));
    // A request that is under way is not waited for: what it would bring is in the journal or asked for again.
    runtime.shutdown_background();
    result
}

async fn until_stopped(agent: &Arc<Agent>, signals: Signals) -> anyhow::Result<()> {
    let Signals { mut terminate, mut interrupt, hangup } = signals;
    tokio::select! {
        result = sampling(agent) => result?,
        result = converging(agent) => result?,
        result = delivering(agent) => result?,
        result = telling(agent) => result?,
        result = witnessing(agent) => result?,
        result = reconfiguring(agent, hangup) => result?,
        () = staying_alive(agent) => {}
        () = metrics::serve(Arc::clone(&agent.figures), agent.config.subscribe()) => {}
        _ = terminate.recv() => tracing::info!("stopping on SIGTERM"),
        _ = interrupt.recv() => tracing::info!("stopping on SIGINT"),
    }
    agent.service_manager.stopping();
    let sampled = on(agent, |agent| kept(&agent.keeper).sample(clock::now()).map(drop)).await?;
    sampled.context("the last sample; the counters stay in WireGuard")?;
    tracing::info!("stopped; the interface and its peers stay up");
    Ok(())
}

/// Takes the operator's choices anew at each SIGHUP.
async fn reconfiguring(agent: &Arc<Agent>, mut hangup: Signal) -> anyhow::Result<()> {
    loop {
        hangup.recv().await;
        agent.service_manager.reloading(clock::monotonic_microseconds());
        match on(agent, take_choices).await? {
            Ok(()) => tracing::info!("took the configuration anew"),
            Err(error) => tracing::error!("the configuration stays as it was: {error:#}"),
        }
        agent.service_manager.ready();
    }
}

fn take_choices(agent: &Agent) -> anyhow::Result<()> {
    let config = Arc::new(agent.source.read()?);
    kept(&agent.keeper).configure(Arc::clone(&config))?;
    agent.config.send_replace(config);
    Ok(())
}

/// Feeds the service manager's watchdog while sampling is not overdue; ends never.
async fn staying_alive(agent: &Agent) {
    let Some(watchdog) = agent.service_manager.watchdog() else { return pending().await };
    loop {
        if watchdog.holds(clock::now().monotonic) {
            agent.service_manager.alive();
        } else {
            tracing::error!("sampling hangs; the watchdog is not told that all is well");
        }
        sleep(watchdog.interval()).await;
    }
}

/// Runs blocking work off the async thread. The error is a panic of that work.
async fn on<T: Send + 'static>(
    agent: &Arc<Agent>,
    work: impl FnOnce(&Agent) -> T + Send + 'static,
) -> anyhow::Result<T> {
    let agent = Arc::clone(agent);
    Ok(spawn_blocking(move || work(&agent)).await?)
}

/// Samples and converges regularly and at each epoch's boundary, and cuts reports when they are due.
async fn sampling(agent: &Arc<Agent>) -> anyhow::Result<()> {
    let mut config = agent.config.subscribe();
    let offset = random_u64()? % config.borrow().report_seconds;
    let mut next_report = clock::now().wall.plus_seconds(offset);
    let mut ready = false;
    loop {
        let now = clock::now();
        let (sample_seconds, report_seconds) = {
            let config = config.borrow_and_update();
            (config.sample_seconds, config.report_seconds)
        };
        // A clock that was set back must not silence the node until it is that late again.
        next_report = next_report.min(now.wall.plus_seconds(report_seconds));
        let due = next_report <= now.wall;
        if due {
            next_report = next_report.plus_seconds(report_seconds).max(now.wall.plus_seconds(1));
        }
        expect_turn_after(agent, Duration::ZERO);
        match on(agent, move |agent| turn(agent, now, due)).await? {
            Ok(status) => {
                if !ready {
                    agent.service_manager.ready();
                    ready = true;
                }
                agent.service_manager.status(&status);
            }
            Err(error) => {
                agent.service_manager.status(&format!("sampling fails: {error:#}"));
                tracing::error!("sampling: {error:#}");
            }
        }
        agent.due.notify_one();
        agent.changed.notify_one();
        let boundary = kept(&agent.keeper).next_boundary(now.wall);
        let pause = pause(clock::now(), sample_seconds, [Some(next_report), boundary]);
        expect_turn_after(agent, pause);
        tokio::select! {
            () = sleep(pause) => {}
            // Other choices act at once.
            _ = config.changed() => {}
        }
    }
}

fn expect_turn_after(agent: &Agent, pause: Duration) {
    if let Some(watchdog) = agent.service_manager.watchdog() {
        watchdog.expect_after(clock::now().monotonic, pause);
    }
}

/// One turn of sampling. Gives how the node stands, in words.
fn turn(agent: &Agent, now: Moment, report_is_due: bool) -> anyhow::Result<String> {
    let mut keeper = kept(&agent.keeper);
    keeper.ensure_firewall();
    let result = if report_is_due { keeper.cut(now) } else { Ok(()) }.and_then(|()| keeper.converge(now));
    if result.is_ok() {
        keeper.cross_check(now);
    }
    let health = Health::of(&keeper, now);
    health.write(&keeper.dir);
    let took = clock::now().monotonic.saturating_sub(now.monotonic);
    agent.figures.lock().unwrap_or_else(PoisonError::into_inner).update(&keeper, now, took)?;
    result.map(|()| health.line(keeper.wanted_peers(now.wall)))
}

/// Until the next sample or the first of the moments, whichever comes first.
fn pause(now: Moment, sample_seconds: u64, moments: [Option<Timestamp>; 2]) -> Duration {
    let next_sample = Duration::from_secs(sample_seconds);
    moments.into_iter().flatten().map(|moment| now.until(moment)).fold(next_sample, Duration::min)
}

/// Asks what is wanted, again and again, and applies it.
async fn converging(agent: &Arc<Agent>) -> anyhow::Result<()> {
    let mut backoff = Backoff::default();
    // The first answer is not waited for: it tells the clock.
    let mut wait_seconds = 0;
    loop {
        let asked = clock::now();
        match on(agent, move |agent| ask_what_is_wanted(agent, wait_seconds)).await? {
            Ok(heard) => {
                backoff.reset();
                wait_seconds = LONG_POLL_SECONDS;
                agent.due.notify_one();
                agent.changed.notify_one();
                let took = clock::now().monotonic.saturating_sub(asked.monotonic);
                sleep(heard.pause(took)).await;
            }
            Err(error) => {
                wait_seconds = 0;
                let wait = backoff.wait(CAP, random_u16()?) + asked_to_wait(&error);
                tracing::warn!(retry_seconds = wait.as_secs(), "asking what is wanted: {error:#}");
                if kept(&agent.keeper).receipts.are_due() {
                    agent.due.notify_one();
                }
                sleep(wait).await;
            }
        }
    }
}

/// What an answer brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Changed,
    Unchanged,
}

impl Heard {
    /// How long to wait before asking again, when the answer took so long.
    fn pause(self, took: Duration) -> Duration {
        match self {
            Self::Changed => CHANGED_PAUSE,
            Self::Unchanged => UNCHANGED_PAUSE.saturating_sub(took),
        }
    }
}

fn ask_what_is_wanted(agent: &Agent, wait_seconds: u64) -> anyhow::Result<Heard> {
    let (identity, known) = {
        let keeper = kept(&agent.keeper);
        (keeper.identity.clone(), keeper.wanted.as_ref().map_or(0, |wanted| wanted.revision))
    };
    let desired = agent.control_plane.desired(&identity, clock::now().wall, known, wait_seconds);
    let mut keeper = kept(&agent.keeper);
    match desired {
        Ok(desired) => {
            let heard = if desired.revision == known { Heard::Unchanged } else { Heard::Changed };
            keeper.receive(desired, clock::now()).map(|()| heard)
        }
        Err(error) => {
            keeper.refused(&error, clock::now());
            Err(error.into())
        }
    }
}

/// Delivers what is due.
async fn delivering(agent: &Arc<Agent>) -> anyhow::Result<()> {
    let mut backoff = Backoff::default();
    loop {
        let mut salt = Salt([0; 16]);
        getrandom::fill(&mut salt.0).context("the system has no randomness")?;
        let delivery = on(agent, move |agent| deliver(&agent.keeper, &agent.control_plane, clock::now, salt));
        match delivery.await? {
            Ok(Delivery::Delivered { sequence }) => {
                backoff.reset();
                tracing::info!(sequence, "the control plane has logged the report");
            }
            Ok(Delivery::Shown { receipts }) => {
                backoff.reset();
                tracing::info!(receipts, "showed the restored control plane what it had acknowledged");
            }
            Ok(Delivery::Idle) => agent.due.notified().await,
            Err(error) => {
                let wait = backoff.wait(delivery_cap(agent), random_u16()?) + asked_to_wait(&error);
                tracing::error!(retry_seconds = wait.as_secs(), "{error:#}");
                sleep(wait).await;
            }
        }
    }
}

/// Tells the control plane how the node is, whenever that changed.
async fn telling(agent: &Arc<Agent>) -> anyhow::Result<()> {
    let mut backoff = Backoff::default();
    let mut understood = true;
    loop {
        let told = on(agent, |agent| {
            let put =
                |identity: &_, now, condition: &_| agent.control_plane.condition(identity, now, condition);
            tell(&agent.keeper, put, clock::now)
        });
        match told.await? {
            Ok(Telling::Taken) => {
                backoff.reset();
                understood = true;
                sleep(TELLING_PAUSE).await;
            }
            Ok(Telling::UpToDate) => agent.changed.notified().await,
            Ok(Telling::NotUnderstood) => {
                if std::mem::take(&mut understood) {
                    tracing::warn!(
                        "the control plane is older than this agent and takes no condition of the node: people see no levels, \
                         and nobody a pause"
                    );
                }
                sleep(NOT_UNDERSTOOD_PAUSE).await;
            }
            Err(error) => {
                let wait = backoff.wait(CAP, random_u16()?) + asked_to_wait(&error);
                tracing::warn!(retry_seconds = wait.as_secs(), "{error:#}");
                sleep(wait).await;
            }
        }
    }
}

/// Looks at the public logs as often as the node reports, while the operator demands witnesses.
async fn witnessing(agent: &Arc<Agent>) -> anyhow::Result<()> {
    let mut config = agent.config.subscribe();
    let mut backoff = Backoff::default();
    loop {
        let (policy, report_seconds) = {
            let config = config.borrow_and_update();
            // A file with another demand than one that can be met was refused when it was read.
            (config.witnesses.policy()?, config.report_seconds)
        };
        let Some(policy) = policy else {
            kept(&agent.keeper).witnessing = Witnessing::default();
            config.changed().await?;
            continue;
        };
        let pause = match on(agent, move |agent| look(agent, &policy)).await? {
            Ok(()) => {
                backoff.reset();
                Duration::from_secs(report_seconds)
            }
            Err(error) => {
                let wait = backoff.wait(CAP.min(Duration::from_secs(report_seconds)), random_u16()?);
                tracing::error!(retry_seconds = wait.as_secs(), "the public logs: {error:#}");
                wait
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            changed = config.changed() => changed?,
        }
    }
}

fn look(agent: &Agent, policy: &WitnessPolicy) -> anyhow::Result<()> {
    let (dir, enrolment) = {
        let keeper = kept(&agent.keeper);
        (keeper.dir.clone(), keeper.enrolment.clone())
    };
    // The keeper is free meanwhile: the tunnel waits for no web server.
    let looked = witnessed::look(&dir, &enrolment, policy);
    let witnessing = &mut kept(&agent.keeper).witnessing;
    match &looked {
        Ok(()) => *witnessing = Witnessing { at: Some(clock::now().wall), error: None },
        Err(error) => witnessing.error = Some(format!("{error:#}")),
    }
    looked
}

/// No wait between two attempts at a delivery is drawn from more than this.
fn delivery_cap(agent: &Agent) -> Duration {
    if kept(&agent.keeper).undelivered.as_ref().is_some_and(|undelivered| undelivered.for_good) {
        return LONG_CAP;
    }
    // A node that is frozen may be thawed any minute.
    CAP.min(Duration::from_secs(agent.config.borrow().report_seconds))
}

fn random_u64() -> anyhow::Result<u64> {
    getrandom::u64().context("the system has no randomness")
}

fn random_u16() -> anyhow::Result<u16> {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).context("the system has no randomness")?;
    Ok(u16::from_le_bytes(bytes))
}

/// Changes with every start of the machine.
pub(crate) fn boot_id() -> anyhow::Result<String> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{}: needed to tell a restart of the machine", path.display()))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_control_plane_that_holds_nothing_back_is_kept_waiting() {
        let second = Duration::from_secs(1);
        assert_eq!(Heard::Unchanged.pause(Duration::ZERO), second);
        assert_eq!(Heard::Unchanged.pause(second * 30), Duration::ZERO, "it held the answer back itself");
        assert!(Heard::Changed.pause(Duration::ZERO) < second / 4, "a person waits for the next peer");
        assert!(Heard::Changed.pause(Duration::ZERO) > Duration::ZERO, "changes come together");
    }
}

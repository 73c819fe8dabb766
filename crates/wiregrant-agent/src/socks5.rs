//! The SOCKS5 service, metered like a WireGuard: the same devices, allotments and records, by `wiregrant-socks5`'s own counters.
//!
//! A device's login is recorded with the counters it begins from before the service hears of it; who leaves is cut, read for the
//! last time, journaled, forgotten by the service, and recorded as gone, in this order. A stop anywhere in between leaves a state
//! from which the same is done again. A service that does not answer stops nothing else: its counters stand in it and are read
//! again.

pub mod conversation;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use wiregrant_core::WireGuardPublicKey;
use wiregrant_core::counter::Reading;
use wiregrant_core::socks5::metering::{Instance, Question, Rates, Readings};
use wiregrant_core::socks5::{Socks5Login, Socks5Username};
use wiregrant_core::usage_report::Class;

use crate::clock::Moment;
use crate::keeper::Keeper;
use crate::ledger::Record;
use conversation::ask;

/// How often a change is tried at once: the second try serves a device whose old login the first has ended.
const ROUNDS: usize = 2;

/// What the node must not forget of its SOCKS5 service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Socks5State {
    /// The run of the service whose counters were read last.
    instance: Option<Instance>,
    /// The logins that the service may have counters of.
    logins: BTreeMap<WireGuardPublicKey, ServedLogin>,
}

/// A login that the service may have counters of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServedLogin {
    username: Socks5Username,
    /// As what it is counted once nobody wants it any more.
    class: Class,
}

/// A login that the service is about to hear of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddedLogin {
    /// Whose.
    pub device: WireGuardPublicKey,
    /// Its name there.
    pub username: Socks5Username,
    /// Who chose this node for it.
    pub class: Class,
    /// What its counters say before: zero, unless a state that was lost has served it.
    pub from: Reading,
}

impl Socks5State {
    /// Whether there is nothing to remember.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the service may serve somebody, or have counted what is not kept.
    #[must_use]
    pub fn serves_somebody(&self) -> bool {
        !self.logins.is_empty()
    }

    /// The service runs anew: all its counters began at zero.
    pub fn started(&mut self, instance: Instance) {
        self.instance = Some(instance);
    }

    /// The service is about to hear of logins.
    pub fn added(&mut self, logins: &[AddedLogin]) {
        self.logins.extend(logins.iter().map(|login| {
            let served = ServedLogin { username: login.username.clone(), class: login.class };
            (login.device, served)
        }));
    }

    /// The service has forgotten devices.
    pub fn removed(&mut self, devices: &[WireGuardPublicKey]) {
        devices.iter().for_each(|device| {
            self.logins.remove(device);
        });
    }

    /// The counters by device, ascending. Who is not in the readings has moved nothing.
    fn by_device(&self, readings: &Readings) -> Vec<(WireGuardPublicKey, Reading)> {
        let read: BTreeMap<_, _> = by_username(readings).collect();
        let reading = |username| read.get(username).copied().unwrap_or_default();
        self.logins.iter().map(|(device, login)| (*device, reading(&login.username))).collect()
    }
}

fn by_username(readings: &Readings) -> impl Iterator<Item = (&Socks5Username, Reading)> {
    readings.readings.iter().map(|account| {
        (&account.username, Reading { received: account.received.get(), sent: account.sent.get() })
    })
}

/// What this run of the agent knows of the service.
#[derive(Debug, Default)]
pub struct Socks5 {
    /// The last answer, unless there was none to the last question.
    last: Option<Readings>,
    /// What was served with which run of the service.
    served: Option<(Instance, Vec<Socks5Login>, Rates)>,
    /// Whether it was said that there is no answer.
    complained: bool,
}

/// What has to be done at the service.
struct Difference {
    /// Logins that it has not heard of.
    add: Vec<AddedLogin>,
    /// Devices whose login it must not serve any more.
    remove: Vec<WireGuardPublicKey>,
    /// All that it is to serve.
    serve: Vec<Socks5Login>,
}

impl Keeper {
    /// Reads the service's counters, by device; none when there is no service or no answer. A new run of the service is
    /// recorded first.
    pub(crate) fn socks5_readings(&mut self) -> Vec<(WireGuardPublicKey, Reading)> {
        if self.config.socks5.socket.is_none() {
            return Vec::new();
        }
        let Some(readings) = self.ask_socks5(&Question::Read {}) else { return Vec::new() };
        if self.ledger.state().socks5.instance != Some(readings.instance) {
            self.ledger.count(vec![Record::Socks5Started { instance: readings.instance }]);
        }
        self.ledger.state().socks5.by_device(&readings)
    }

    /// As what a device's bytes at the service count: as the control plane has it, also after it has left.
    pub(crate) fn class_at_socks5(&self, device: &WireGuardPublicKey) -> Class {
        let wanted = self.wanted.as_ref().and_then(|wanted| wanted.peers.get(device)).map(|peer| peer.class);
        let served = || self.ledger.state().socks5.logins.get(device).map(|login| login.class);
        wanted.or_else(served).unwrap_or(Class::Invited)
    }

    /// Lets a service end that waits for its last readings to be kept. To be called once they are.
    pub(crate) fn release_socks5(&mut self) {
        let ending = self.socks5.last.as_ref().filter(|readings| readings.ending);
        if let (Some(instance), None) = (ending.map(|readings| readings.instance), self.ledger.behind()) {
            self.ask_socks5(&Question::Release { instance });
        }
    }

    /// Has the service serve the devices that may be served, and nobody else. Without an answer it is tried again with the next
    /// sample.
    ///
    /// # Errors
    /// When the interface or the journal fails.
    pub(crate) fn converge_socks5(&mut self, now: Moment) -> anyhow::Result<()> {
        if self.config.socks5.socket.is_none() || self.wanted.is_none() {
            return Ok(());
        }
        for _ in 0..ROUNDS {
            let Some(readings) = self.socks5.last.take_if(|readings| !readings.ending) else { return Ok(()) };
            let difference = self.socks5_difference(&readings, now);
            let served = (readings.instance, difference.serve.clone(), self.config.socks5_rates());
            if difference.add.is_empty() && difference.remove.is_empty() && self.socks5.served == Some(served)
            {
                return Ok(());
            }
            self.serve_socks5(readings.instance, difference, now)?;
        }
        Ok(())
    }

    fn socks5_difference(&self, readings: &Readings, now: Moment) -> Difference {
        let (known, mut serves) = (&self.ledger.state().socks5.logins, self.serves(now));
        let peers = self.wanted.iter().flat_map(|wanted| wanted.peers.iter());
        let wanted: BTreeMap<_, _> = peers
            .filter(|peer| serves(peer))
            .filter_map(|peer| Some((peer.public_key, (peer.socks5.clone()?, peer.class))))
            .collect();
        let remove: Vec<_> = known
            .iter()
            .filter(|(device, old)| {
                wanted.get(*device).is_none_or(|(login, _)| login.username != old.username)
            })
            .map(|(device, _)| *device)
            .collect();
        // A username stands for one device, until the service has forgotten it.
        let mut taken: BTreeSet<&Socks5Username> = known.values().map(|login| &login.username).collect();
        let read: BTreeMap<_, _> = by_username(readings).collect();
        let mut add = Vec::new();
        for (device, (login, class)) in wanted.iter().filter(|(device, _)| !known.contains_key(*device)) {
            if taken.insert(&login.username) {
                let from = read.get(&login.username).copied().unwrap_or_default();
                add.push(AddedLogin {
                    device: *device,
                    username: login.username.clone(),
                    class: *class,
                    from,
                });
            }
        }
        let added: BTreeSet<_> = add.iter().map(|login| login.device).collect();
        let serve = wanted
            .iter()
            .filter(|(device, (login, _))| {
                let served = known.get(*device).is_some_and(|served| served.username == login.username);
                served || added.contains(*device)
            })
            .map(|(_, (login, _))| login.clone())
            .collect();
        Difference { add, remove, serve }
    }

    fn serve_socks5(&mut self, instance: Instance, to_do: Difference, now: Moment) -> anyhow::Result<()> {
        let Difference { add, remove, serve } = to_do;
        let (added, removed) = (add.len(), remove.len());
        if !add.is_empty() {
            self.ledger.commit(vec![Record::Socks5Added { logins: add }])?;
        }
        // The tunnel's own networks: what goes there is counted by WireGuard.
        let refused_networks = self.enrolment.addresses.iter().map(ipnet::IpNet::trunc).collect();
        let rates = self.config.socks5_rates();
        let question = Question::Serve { logins: serve, refused_networks, rates };
        let Some(answer) = self.ask_socks5(&question) else { return Ok(()) };
        let Question::Serve { logins, .. } = question else { return Ok(()) };
        self.socks5.served = Some((answer.instance, logins, rates));
        if answer.instance != instance || remove.is_empty() {
            tracing::info!(added_logins = added, "the SOCKS5 service serves whom it should");
            return Ok(());
        }
        // Who is not served any more is cut by now: this reading is their last.
        self.sample(now)?;
        self.forget_at_socks5(instance, &remove)?;
        tracing::info!(
            added_logins = added,
            removed_logins = removed,
            "the SOCKS5 service serves whom it should"
        );
        Ok(())
    }

    /// Has the service forget devices whose last readings are journaled, and records those that are gone.
    fn forget_at_socks5(&mut self, instance: Instance, devices: &[WireGuardPublicKey]) -> anyhow::Result<()> {
        // No answer, or another run: its counters are not those that were kept.
        let same = self.socks5.last.as_ref().is_some_and(|readings| readings.instance == instance);
        if !same || self.ledger.behind().is_some() {
            return Ok(());
        }
        let known = &self.ledger.state().socks5.logins;
        let username = |device| known.get(device).map(|login| login.username.clone());
        let usernames = devices.iter().filter_map(username).collect();
        let Some(answer) = self.ask_socks5(&Question::Forget { instance, usernames }) else { return Ok(()) };
        let left: BTreeSet<_> = by_username(&answer).map(|(username, _)| username).collect();
        let known = &self.ledger.state().socks5.logins;
        let gone = |device: &&WireGuardPublicKey| {
            known.get(*device).is_some_and(|login| !left.contains(&login.username))
        };
        let devices: Vec<_> = devices.iter().filter(gone).copied().collect();
        if answer.instance == instance && !devices.is_empty() {
            self.ledger.commit(vec![Record::Socks5Removed { devices }])?;
        }
        Ok(())
    }

    /// Has the service serve nobody, and keeps and forgets all that it has counted; right after a sample. Whether it answered.
    ///
    /// # Errors
    /// When the interface or the journal fails.
    pub(crate) fn end_socks5(&mut self, now: Moment) -> anyhow::Result<bool> {
        let Some(readings) = self.socks5.last.take() else { return Ok(false) };
        let remove = self.ledger.state().socks5.logins.keys().copied().collect();
        let nobody = Difference { add: Vec::new(), remove, serve: Vec::new() };
        self.serve_socks5(readings.instance, nobody, now)?;
        Ok(self.socks5.last.is_some())
    }

    /// Asks, and keeps the answer; says once when there is none, and once when there is one again.
    fn ask_socks5(&mut self, question: &Question) -> Option<Readings> {
        let socket = self.config.socks5.socket.as_ref()?;
        let answer = ask(socket, question);
        match &answer {
            Ok(_) if self.socks5.complained => tracing::info!("the SOCKS5 service answers again"),
            Err(error) if !self.socks5.complained => {
                tracing::warn!(
                    "{error}; it is asked again with each sample, and what it counts meanwhile stands in it"
                );
            }
            _ => {}
        }
        self.socks5.complained = answer.is_err();
        self.socks5.last = answer.ok();
        self.socks5.last.clone()
    }

    /// The devices with a login at the service, for a look at the state.
    #[cfg(test)]
    fn socks5_devices(&self) -> Vec<WireGuardPublicKey> {
        self.ledger.state().socks5.logins.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests;

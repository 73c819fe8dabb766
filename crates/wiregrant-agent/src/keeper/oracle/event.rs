//! What happens to a node in the oracle's lives, and how often.

use proptest::prelude::*;

/// Peers of these numbers are wanted at times; the others are somebody else's.
const OURS: u8 = 4;
const ALL: u8 = 6;

/// One thing that happens to a node.
#[derive(Debug, Clone)]
pub enum Event {
    Traffic {
        peer: u8,
        received: u32,
        sent: u32,
    },
    /// The control plane wants other peers.
    Want(Vec<u8>),
    Sample,
    Cut,
    Deliver {
        loses_answer: bool,
        refusal: bool,
    },
    Kill,
    /// `kill -9` at the n-th call of the interface from now, before or after it took effect.
    KillAtCall {
        call: u32,
        carried_out: bool,
    },
    /// `kill -9` at the n-th step of the journal from now, part of it done.
    KillAtStep {
        step: u32,
        part: u8,
    },
    /// `kill -9` now, and again at a step of the start that follows.
    KillInStart {
        step: u32,
        part: u8,
    },
    /// The disk takes nothing for so many steps.
    DiskFull(u32),
    /// A dump that lacks peers who are there.
    TornDump(Vec<u8>),
    /// Somebody loads the same configuration again: all counters begin at zero.
    ResetByHand(u8),
    RemoveByHand(u8),
    AddByHand(u8),
    /// The interface is deleted; the agent makes it anew.
    DeleteByHand,
    Reboot,
    /// A copy of the state directory is kept, or put in the place of the present one.
    Backup,
    Restore,
    /// The disk spoils a bit of the journal, or its end, while no agent runs.
    Spoil {
        position: u16,
        bit: u8,
    },
    Truncate(u16),
}

/// What loses no counter and no state.
pub fn harmless() -> impl Strategy<Value = Event> {
    let peers = || proptest::sample::subsequence((0..OURS).collect::<Vec<_>>(), 0..=usize::from(OURS));
    prop_oneof![
        8 => (0..ALL, any::<u32>(), any::<u32>())
            .prop_map(|(peer, received, sent)| Event::Traffic { peer, received, sent }),
        4 => peers().prop_map(Event::Want),
        4 => Just(Event::Sample),
        2 => Just(Event::Cut),
        3 => (any::<bool>(), proptest::bool::weighted(0.2))
            .prop_map(|(loses_answer, refusal)| Event::Deliver { loses_answer, refusal }),
        1 => Just(Event::Kill),
        3 => (0..12u32, any::<bool>()).prop_map(|(call, carried_out)| Event::KillAtCall { call, carried_out }),
        3 => (0..16u32, any::<u8>()).prop_map(|(step, part)| Event::KillAtStep { step, part }),
        1 => (0..12u32, any::<u8>()).prop_map(|(step, part)| Event::KillInStart { step, part }),
        1 => (1..20u32).prop_map(Event::DiskFull),
        1 => peers().prop_map(Event::TornDump),
    ]
}

/// What loses counters of peers, and is told by the statistics of an interface that keeps some.
pub fn survivable() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => harmless(),
        1 => (0..OURS).prop_map(Event::ResetByHand),
        1 => (0..OURS).prop_map(Event::RemoveByHand),
    ]
}

/// What loses counters, and no state.
pub fn resetting() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => harmless(),
        1 => (0..ALL).prop_map(Event::ResetByHand),
        1 => (0..ALL).prop_map(Event::RemoveByHand),
        1 => (0..ALL).prop_map(Event::AddByHand),
        1 => Just(Event::DeleteByHand),
        1 => Just(Event::Reboot),
    ]
}

/// What loses state too.
pub fn destroying() -> impl Strategy<Value = Event> {
    prop_oneof![
        16 => resetting(),
        1 => Just(Event::Backup),
        1 => Just(Event::Restore),
        1 => (any::<u16>(), 0..8u8).prop_map(|(position, bit)| Event::Spoil { position, bit }),
        1 => any::<u16>().prop_map(Event::Truncate),
    ]
}

//! Sentences about following a chain that lies in memory.

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash as _;
use bitcoin::transaction::Version;
use bitcoin::{Amount, BlockHash, OutPoint, ScriptBuf, Transaction, TxIn, TxOut};
use transparency_log::Hash;
use wiregrant_core::Sats;
use wiregrant_core::api::BatchState;
use wiregrant_core::note::{Network, Salt};
use wiregrant_payout::matching::Decisions;
use wiregrant_payout::{Batch, BatchLine, PayoutAddress, WatchedBatch};

use super::*;

const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
/// The time of the first block; each has ten minutes.
const BEGIN: u32 = 1_780_000_000;

/// A chain in memory; a block's hash follows from its height and the branch it is on.
#[derive(Default)]
struct Memory {
    blocks: Vec<(u8, Vec<Transaction>)>,
    waiting: Vec<Transaction>,
    read: u32,
}

impl Memory {
    fn mine(&mut self, branch: u8, transactions: &[&Transaction]) {
        self.blocks.push((branch, transactions.iter().copied().cloned().collect()));
    }

    fn bury(&mut self, branch: u8, blocks: usize) {
        (0..blocks).for_each(|_| self.mine(branch, &[]));
    }

    fn hash(&self, height: usize) -> BlockHash {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&(height as u64).to_le_bytes());
        bytes[8] = self.blocks[height].0;
        BlockHash::from_byte_array(bytes)
    }
}

impl ChainSource for Memory {
    fn tip(&mut self) -> Result<BlockRef, ChainError> {
        let height = u32::try_from(self.blocks.len() - 1).unwrap();
        Ok(self.block_at(height)?.unwrap())
    }

    fn block_at(&mut self, height: u32) -> Result<Option<BlockRef>, ChainError> {
        let place = height as usize;
        if place >= self.blocks.len() {
            return Ok(None);
        }
        let previous = place.checked_sub(1).map_or(BlockHash::all_zeros(), |before| self.hash(before));
        Ok(Some(BlockRef { height, hash: self.hash(place), previous, time: BEGIN + 600 * height }))
    }

    fn transactions(&mut self, block: &BlockRef, _: &Watch) -> Result<Vec<(u32, Transaction)>, ChainError> {
        self.read += 1;
        Ok((0u32..).zip(self.blocks[block.height as usize].1.clone()).collect())
    }

    fn waiting(&mut self, _: &Watch) -> Result<Option<Vec<Transaction>>, ChainError> {
        Ok(Some(self.waiting.clone()))
    }
}

/// A batch of one line of 5,000 sats, and the declared transaction that pays it.
fn watch() -> (Watch, Transaction) {
    let address = PayoutAddress::parse(ADDRESS, Network::Regtest).unwrap();
    let tx = Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn { previous_output: OutPoint::null(), ..TxIn::default() }],
        output: vec![TxOut { value: Amount::from_sat(5_000), script_pubkey: address.script_pubkey() }],
    };
    let sats = Sats::new(5_000).unwrap();
    let line = BatchLine {
        operator: "nordlicht".parse().unwrap(),
        grant: "spring".parse().unwrap(),
        epoch: 1,
        sats,
        address: ADDRESS.to_owned(),
        destination_sequence: 1,
    };
    let batch = Batch {
        log: "grants.example/record".parse().unwrap(),
        network: Network::Regtest,
        batch: "b-1".parse().unwrap(),
        replaces: None,
        record_size: 1,
        record_root: Hash::of(b"record"),
        salt: Salt([0; 16]),
        lines: vec![line],
        total: sats,
    };
    let mut watched = WatchedBatch::new(&batch, Decisions::default()).unwrap();
    watched.declare_transaction(&tx);
    (Watch::new(vec![watched], [], 0), tx)
}

fn state(watch: &Watch) -> BatchState {
    watch.verdicts().into_values().next().unwrap().state
}

fn look(memory: &mut Memory, followed: &mut Followed, watch: &mut Watch) -> Progress {
    follow(memory, followed, watch, None).unwrap()
}

#[test]
fn it_begins_at_the_tip_and_reads_each_block_once() {
    let (mut watch, tx) = watch();
    let (mut memory, mut followed) = (Memory::default(), Followed::default());
    memory.bury(0, 10);
    let progress = look(&mut memory, &mut followed, &mut watch);
    assert_eq!((progress.taken_in, progress.up_to_date, memory.read), (0, true, 0));
    memory.mine(0, &[&tx]);
    memory.bury(0, 5);
    let progress = look(&mut memory, &mut followed, &mut watch);
    assert_eq!((progress.taken_in, progress.moved.len()), (6, 1));
    assert_eq!(state(&watch), BatchState::Settled);
    look(&mut memory, &mut followed, &mut watch);
    assert_eq!(memory.read, 6);
}

#[test]
fn a_batch_made_before_the_first_look_is_looked_for_from_its_time_on() {
    let (mut watch, tx) = watch();
    let (mut memory, mut followed) = (Memory::default(), Followed::default());
    memory.bury(0, 100);
    memory.mine(0, &[&tx]);
    memory.bury(0, 3);
    let made = Timestamp::from_unix_seconds(i64::from(BEGIN + 600 * 100)).unwrap();
    follow(&mut memory, &mut followed, &mut watch, Some(made)).unwrap();
    assert_eq!(state(&watch), BatchState::Confirmed);
    assert!(memory.read < 20, "two hours before it and no more: {}", memory.read);
}

#[test]
fn a_reorganisation_is_walked_back_to_where_the_branches_part() {
    let (mut watch, tx) = watch();
    let (mut memory, mut followed) = (Memory::default(), Followed::default());
    memory.bury(0, 10);
    look(&mut memory, &mut followed, &mut watch);
    memory.mine(0, &[&tx]);
    memory.bury(0, 5);
    look(&mut memory, &mut followed, &mut watch);
    assert_eq!(state(&watch), BatchState::Settled);
    // Another branch with more work; the payment waits again.
    memory.blocks.truncate(10);
    memory.bury(1, 8);
    memory.waiting = vec![tx.clone()];
    let progress = look(&mut memory, &mut followed, &mut watch);
    assert_eq!((progress.taken_back, progress.taken_in), (6, 8));
    assert_eq!((state(&watch), watch.tip()), (BatchState::Seen, 17));
    memory.waiting.clear();
    memory.mine(1, &[&tx]);
    look(&mut memory, &mut followed, &mut watch);
    assert_eq!(state(&watch), BatchState::Confirmed);
}

#[test]
fn a_chain_that_became_shorter_is_walked_back_too() {
    let (mut watch, tx) = watch();
    let (mut memory, mut followed) = (Memory::default(), Followed::default());
    memory.bury(0, 10);
    look(&mut memory, &mut followed, &mut watch);
    memory.mine(0, &[&tx]);
    look(&mut memory, &mut followed, &mut watch);
    memory.blocks.truncate(8);
    let progress = look(&mut memory, &mut followed, &mut watch);
    assert_eq!((progress.taken_back, progress.up_to_date, watch.tip()), (2, true, 7));
    assert_eq!(state(&watch), BatchState::Exported);
}

#[test]
fn many_blocks_are_taken_in_by_and_by_and_with_nothing_to_watch_not_at_all() {
    let (mut watch, _) = watch();
    let (mut memory, mut followed) = (Memory::default(), Followed::default());
    memory.bury(0, 1);
    look(&mut memory, &mut followed, &mut watch);
    memory.bury(0, 150);
    let first = look(&mut memory, &mut followed, &mut watch);
    assert_eq!((first.taken_in, first.up_to_date), (BLOCKS_AT_ONCE, false));
    let second = look(&mut memory, &mut followed, &mut watch);
    assert_eq!((second.taken_in, second.up_to_date), (50, true));
    memory.bury(0, 150);
    let read = memory.read;
    let mut nothing = Watch::default();
    let third = look(&mut memory, &mut followed, &mut nothing);
    assert_eq!((memory.read, third.up_to_date, nothing.tip()), (read, true, 300));
}

#[test]
fn a_rewound_chain_is_read_again_and_finds_what_was_declared_late() {
    let (declared, tx) = watch();
    let (mut memory, mut followed) = (Memory::default(), Followed::default());
    memory.bury(0, 10);
    let mut watch = Watch::new(vec![], [], 0);
    look(&mut memory, &mut followed, &mut watch);
    for transactions in [&[&tx][..], &[], &[]] {
        memory.mine(0, transactions);
        look(&mut memory, &mut followed, &mut watch);
    }
    let mut followed = Followed::new((9..13).map(|height| memory.block_at(height).unwrap().unwrap()));
    let mut watch = declared;
    look(&mut memory, &mut followed, &mut watch);
    assert_eq!(state(&watch), BatchState::Exported);
    followed.rewind();
    look(&mut memory, &mut followed, &mut watch);
    assert_eq!((state(&watch), watch.tip()), (BatchState::Confirmed, 12));
}

#[test]
fn what_is_remembered_is_bounded() {
    let (mut watch, _) = watch();
    let (mut memory, mut followed) = (Memory::default(), Followed::default());
    memory.bury(0, 1);
    look(&mut memory, &mut followed, &mut watch);
    memory.bury(0, 3 * REMEMBERED);
    while !look(&mut memory, &mut followed, &mut watch).up_to_date {}
    assert_eq!(followed.blocks().count(), REMEMBERED);
    assert_eq!(followed.tip().unwrap().height, watch.tip());
}

#[test]
fn a_script_that_is_owed_is_one_that_filters_look_for() {
    let (watch, tx) = watch();
    assert_eq!(watch.scripts().into_iter().collect::<Vec<ScriptBuf>>(), [tx.output[0].script_pubkey.clone()]);
}

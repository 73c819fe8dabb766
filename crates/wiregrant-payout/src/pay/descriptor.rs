//! `PayoutDescriptor`: a public output descriptor with a range, from which each payout gets an address of its own.

use std::fmt;
use std::str::FromStr as _;

use bitcoin::NetworkKind;
use miniscript::descriptor::{DescriptorType, Wildcard, XKeyNetwork};
use miniscript::{DefiniteDescriptorKey, Descriptor, DescriptorPublicKey};
use wiregrant_core::note::Network;

use super::{MAX_INDEXES_SEARCHED, refused};
use crate::{PayoutAddress, PayoutError, secret};

/// The longest descriptor: what a destination's note has room for.
const MAX_CHARS: usize = 3 * 1024;
/// The last index that derives without a private key (BIP 32).
const MAX_INDEX: u32 = 0x7fff_ffff;

/// A descriptor with public keys alone. Where it has two paths (BIP 389), the first is to receive, the second for change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayoutDescriptor {
    text: String,
    receive: Box<Descriptor<DescriptorPublicKey>>,
    change: Option<Box<Descriptor<DescriptorPublicKey>>>,
    network: Network,
}

impl PayoutDescriptor {
    /// Reads a descriptor of the types that can be paid, with a range, whose keys are `network`'s. A checksum may be left
    /// out.
    ///
    /// # Errors
    /// [`PayoutError::LooksLikeASecret`]; [`PayoutError::Pay`] with what is wrong.
    pub fn parse(text: &str, network: Network) -> Result<Self, PayoutError> {
        if let Some(kind) = secret::kind(text) {
            return Err(PayoutError::LooksLikeASecret { field: "descriptor", kind });
        }
        let refuse = |problem: &str| refused("descriptor", text, problem);
        if text.len() > MAX_CHARS {
            return Err(refuse("longer than 3,072 characters; use fewer keys"));
        }
        // Never `parse_descriptor`, which takes private keys and drops them.
        let parsed = Descriptor::<DescriptorPublicKey>::from_str(text).map_err(|error| {
            let said: String = error.to_string().chars().take(120).collect();
            refuse(&format!("not understood ({said}); export the public descriptor from the wallet again"))
        })?;
        check_keys(&parsed, network).map_err(refuse)?;
        parsed.sanity_check().map_err(|error| {
            refuse(&format!("nobody could be sure to spend from it ({error}); use another"))
        })?;
        if parsed.desc_type() == DescriptorType::Bare {
            return Err(refuse("it has no address; use one of wpkh, tr, wsh, sh or pkh"));
        }
        let mut paths = parsed
            .into_single_descriptors()
            .map_err(|_| refuse("its keys have different numbers of paths; use <0;1> in each"))?
            .into_iter();
        let receive = Box::new(paths.next().ok_or_else(|| refuse("it has no path"))?);
        let change = paths.next().map(Box::new);
        if paths.next().is_some() {
            return Err(refuse("it has more than two paths; one is to receive, the second for change"));
        }
        let read = Self { text: text.to_owned(), receive, change, network };
        read.address(0)?;
        Ok(read)
    }

    /// The address to receive at, with this index.
    ///
    /// # Errors
    /// The index is 2^31 or more.
    pub fn address(&self, index: u32) -> Result<PayoutAddress, PayoutError> {
        self.address_of(&self.receive, index)
    }

    /// The address for change with this index: of the second path where there are two.
    ///
    /// # Errors
    /// As [`Self::address`].
    pub fn change_address(&self, index: u32) -> Result<PayoutAddress, PayoutError> {
        self.address_of(self.change.as_deref().unwrap_or(&self.receive), index)
    }

    /// What the scripts at an index consist of, for a PSBT: to receive, and for change where that has a path of its own.
    pub(crate) fn definite(&self, index: u32) -> impl Iterator<Item = Descriptor<DefiniteDescriptorKey>> {
        [Some(&*self.receive), self.change.as_deref()]
            .into_iter()
            .flatten()
            .filter_map(move |path| path.at_derivation_index(index).ok())
    }

    /// The index to receive with whose address this is, among the first [`MAX_INDEXES_SEARCHED`].
    #[must_use]
    pub fn index_of(&self, address: &PayoutAddress) -> Option<u32> {
        (0..MAX_INDEXES_SEARCHED).find(|index| self.address(*index).is_ok_and(|found| found == *address))
    }

    /// Whether an address is one of the first `limit` of either path.
    #[must_use]
    pub fn has(&self, address: &PayoutAddress, limit: u32) -> bool {
        let is = |found: Result<PayoutAddress, PayoutError>| found.is_ok_and(|found| found == *address);
        (0..limit).any(|index| is(self.address(index)) || is(self.change_address(index)))
    }

    fn address_of(
        &self,
        path: &Descriptor<DescriptorPublicKey>,
        index: u32,
    ) -> Result<PayoutAddress, PayoutError> {
        let refuse = |problem: &str| refused("descriptor", &self.text, problem);
        if index > MAX_INDEX {
            return Err(refuse("all its addresses are used up; name another"));
        }
        let definite = path.at_derivation_index(index).map_err(|_| {
            refuse("its range is hardened, so that its addresses need the private key; export one that ends in /*")
        })?;
        PayoutAddress::from_script(&definite.script_pubkey(), self.network)
            .ok_or_else(|| refuse("it has no address that can be paid; use one of wpkh, tr, wsh, sh or pkh"))
    }
}

impl fmt::Display for PayoutDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn check_keys(parsed: &Descriptor<DescriptorPublicKey>, network: Network) -> Result<(), &'static str> {
    let mut ranged = false;
    for key in parsed.iter_pk() {
        match key.wildcard() {
            Some(Wildcard::Hardened) => {
                return Err(
                    "its range is hardened, so that its addresses need the private key; export one that \
                            ends in /*",
                );
            }
            Some(Wildcard::Unhardened) => ranged = true,
            _ => {}
        }
        if key.has_hardened_step() {
            return Err(
                "a key has a hardened step after it, which needs the private key; export the account's key",
            );
        }
    }
    if !ranged {
        return Err(
            "it has no range, so it is one address for ever: end its keys in /*, or name the address itself",
        );
    }
    let expected = match network {
        Network::Bitcoin => NetworkKind::Main,
        _ => NetworkKind::Test,
    };
    match parsed.xkey_network() {
        XKeyNetwork::Single(found) if found == expected => Ok(()),
        XKeyNetwork::Single(NetworkKind::Main) => {
            Err("its keys are for bitcoin (xpub), payouts are on a test network")
        }
        XKeyNetwork::Single(NetworkKind::Test) => {
            Err("its keys are for a test network (tpub), payouts are on bitcoin")
        }
        XKeyNetwork::Mixed => Err("some of its keys are for bitcoin and some for a test network"),
        XKeyNetwork::NoXKeys => Err("it has no extended key; end its keys in /*"),
    }
}

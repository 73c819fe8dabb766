//! `--chain`: the transactions that the record says paid a batch, as the chain has them.

use wiregrant_chain::{ChainError, CoreRpc, Esplora};
use wiregrant_core::note::Network;
use wiregrant_payout::{Batch, PaidSum, sums_paid};

use super::CouldNotCheck;
use super::difference::Difference;

/// How deep a block must be for what is in it to count as settled.
const SETTLED_DEPTH: u32 = wiregrant_payout::matching::SETTLED_DEPTH;

/// Where the chain is seen.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ChainOptions {
    /// Check on the chain that each paid batch's transaction pays what its lines say: a Bitcoin node's RPC address (with
    /// --chain-cookie; the node needs txindex=1), or an Esplora server, which then learns the transactions
    #[arg(long, value_name = "URL")]
    chain: Option<String>,
    /// The cookie file of the Bitcoin node that --chain names
    #[arg(long, value_name = "FILE", requires = "chain")]
    chain_cookie: Option<std::path::PathBuf>,
}

/// A view of the chain, opened at the first transaction.
pub struct Chain {
    options: ChainOptions,
    opened: Option<View>,
    /// Transactions that were looked up.
    pub looked_up: u64,
}

enum View {
    Core(CoreRpc),
    Esplora(Esplora),
}

impl ChainOptions {
    /// The view that they name; `None` without one.
    pub fn open(&self) -> Option<Chain> {
        self.chain.as_ref().map(|_| Chain { options: self.clone(), opened: None, looked_up: 0 })
    }
}

impl Chain {
    /// What of a paid batch differs on the chain.
    ///
    /// # Errors
    /// When the chain cannot be looked at.
    pub fn differences(&mut self, batch: &Batch, txid: &str) -> Result<Vec<Difference>, CouldNotCheck> {
        let cannot = |error: ChainError| CouldNotCheck(format!("--chain: {error}"));
        let wanted = txid.parse().map_err(|e| CouldNotCheck(format!("txid {txid}: {e}")))?;
        let found = match self.view(batch.network).map_err(cannot)? {
            View::Core(node) => node.buried(wanted),
            View::Esplora(server) => server.buried(wanted),
        };
        self.looked_up = self.looked_up.saturating_add(1);
        let what = format!("transaction {txid}");
        let Some((tx, depth)) = found.map_err(cannot)? else {
            return Ok(vec![Difference::new(what, "one in a block", "none in a block")]);
        };
        let mut differs = Vec::new();
        if depth < SETTLED_DEPTH {
            let expected = format!("{SETTLED_DEPTH} blocks deep or more");
            differs.push(Difference::new(what, expected, depth));
        }
        for PaidSum { address, owed, paid } in
            sums_paid(batch, &tx).map_err(|e| CouldNotCheck(e.to_string()))?
        {
            let what = format!("transaction {txid}: sats to {address}");
            differs.extend(Difference::unless_equal(&what, owed, paid));
        }
        Ok(differs)
    }

    fn view(&mut self, network: Network) -> Result<&View, ChainError> {
        if self.opened.is_none() {
            let url = self.options.chain.as_deref().unwrap_or_default();
            self.opened = Some(match &self.options.chain_cookie {
                Some(cookie) => View::Core(CoreRpc::open(url, cookie.clone(), network)?),
                None => View::Esplora(Esplora::open(url)?),
            });
        }
        Ok(self.opened.as_ref().expect("opened above"))
    }
}

//! What a Bitcoin node answers, or whoever stands in its place.
#![no_main]

use bitcoin::hashes::Hash as _;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = wiregrant_chain::core_rpc::read_answer::<Option<String>>("getblockhash", bytes);
    if let Ok(hex) = std::str::from_utf8(bytes)
        && let Ok(block) = wiregrant_chain::core_rpc::read_block(hex, bitcoin::BlockHash::all_zeros())
    {
        assert_eq!(block.block_hash(), bitcoin::BlockHash::all_zeros());
    }
});

//! Whatever is read as the path of a tile prints back the same, and nothing makes the parser panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use transparency_log::TileId;

fuzz_target!(|text: &str| {
    if let Ok(tile) = text.parse::<TileId>() {
        assert_eq!(tile.path(), text);
    }
});

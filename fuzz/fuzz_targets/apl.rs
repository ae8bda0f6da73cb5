//! The reader of APL rdata, and of blocks and values on top of it: no octets from outside may make
//! them panic, and what the codec reads it writes alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nibbl::range_record::content::Block;
use nibbl::range_record::value::{ValueRecord, fill_in};
use nibbl::range_record::{Prefix, apl, canonical_address};

fuzz_target!(|data: &[u8]| {
    if let Ok(items) = apl::read(data) {
        assert_eq!(apl::write(&items), data);
        let _ = apl::text(&items);
    }
    if let Ok(block) = Block::read(Prefix::ROOT, data) {
        for (index, item) in block.items().iter().enumerate() {
            for address in [item.prefix.first(), item.prefix.last()] {
                let decision = block.decide(address);
                assert!(decision.first <= address && address <= decision.last);
            }
            let _ = canonical_address(block.items(), index);
        }
    }
    if let Some(text) = ValueRecord::read(data).and_then(|record| record.value.text) {
        let _ = fill_in(&text, "192.0.2.1");
    }
});

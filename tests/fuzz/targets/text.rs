#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::text;

// Whatever other programs write, nothing that moves a cursor or forges a line is left of it. Redacting a second time may hide more of
// text that is half quotes and half noise, so that is not held here.
fuzz_target!(|line: &str| {
    let clean = text::clean(line, 200);
    assert!(!clean.chars().any(char::is_control));
    let redacted = text::redact_line(line);
    assert!(!text::clean(&redacted, usize::MAX).chars().any(char::is_control));
});

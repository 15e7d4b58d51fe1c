//! Any bytes as what a client asks a daemon for: no panic, and what is taken can be sent again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tracer::daemon::protocol::{receive, send};

fuzz_target!(|bytes: &[u8]| {
    let Ok(request) = receive(bytes) else { return };
    let mut line = Vec::new();
    send(&request, &mut line).expect("memory can always be written");
    assert_eq!(receive(&line[..]).expect("what was sent"), request);
});

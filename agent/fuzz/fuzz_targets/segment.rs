#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| zonetide_agent_fuzz::segment(data));

//! Any bytes as a source tree through the whole generator, guided by coverage; a panic ends it and leaves the input.
//!
//! An input is a list of files: a byte that chooses the name of a real manifest, its content, a zero byte.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::{Corpus, fuzz_target};

static NAMES: LazyLock<Vec<&str>> = LazyLock::new(fuzz_generate::names);

fuzz_target!(|input: &[u8]| -> Corpus {
    let files: Vec<_> = input.split(|byte| *byte == 0).filter_map(file).take(12).collect();
    if files.is_empty() {
        return Corpus::Reject;
    }
    fuzz_generate::execute(&files);
    Corpus::Keep
});

fn file(bytes: &[u8]) -> Option<(&'static str, String)> {
    let (name, content) = bytes.split_first()?;
    Some((NAMES[usize::from(*name) % NAMES.len()], String::from_utf8_lossy(content).into_owned()))
}

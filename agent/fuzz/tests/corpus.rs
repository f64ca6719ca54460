//! The fuzz targets without a fuzzer: every input of the corpus, and mutations of them from a seed that is printed.
//! `ZONETIDE_FUZZ_SEED=N` repeats a run.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use zonetide_agent_fuzz::TARGETS;

/// Mutated inputs for each target.
const MUTATIONS: u32 = 4000;
/// Mutations grow no input beyond this, bytes.
const LONGEST: usize = 16 << 10;
/// Numbers at which lengths, signs and shifts break.
const EDGES: [&[u8]; 8] = [
    &[0],
    &[0x7f],
    &[0x80],
    &[0xff],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0x80, 0x80, 0x80, 0x80, 0x10],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02],
];

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut inputs: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|file| {
            let path = file.unwrap().path();
            (path.display().to_string(), fs::read(&path).unwrap())
        })
        .collect();
    inputs.sort();
    assert!(
        inputs.len() >= 10,
        "{} inputs in {}",
        inputs.len(),
        folder.display()
    );
    inputs
}

/// Runs a target, and keeps the input that it does not stand.
fn feed(target: &str, run: fn(&[u8]), origin: &str, input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(input))) {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{target}.input"));
        fs::write(&kept, input).unwrap();
        eprintln!("{target} does not stand {}, made of {origin}", kept.display());
        resume_unwind(panic);
    }
}

fn seed() -> u64 {
    let given = std::env::var("ZONETIDE_FUZZ_SEED").ok();
    let seed = given.map_or_else(rand::random, |seed| seed.parse().unwrap());
    eprintln!("ZONETIDE_FUZZ_SEED={seed}");
    seed
}

fn mutate(random: &mut StdRng, input: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..random.random_range(1..=4) {
        let at = random.random_range(0..=input.len());
        let end = random.random_range(at..=input.len().min(at + 32));
        match random.random_range(0..7) {
            0 if at < input.len() => input[at] ^= 1 << random.random_range(0..8),
            1 if at < input.len() => input[at] = random.random(),
            2 => drop(input.drain(at..end)),
            3 => input.truncate(at),
            4 => {
                let part = input[at..end].to_vec();
                input.splice(at..at, part);
            }
            5 => {
                let edge = EDGES.choose(random).unwrap();
                input.splice(at..end.min(at + edge.len()), edge.iter().copied());
            }
            _ => {
                let from = random.random_range(0..=other.len());
                let to = random.random_range(from..=other.len());
                input.splice(at..end, other[from..to].iter().copied());
            }
        }
    }
    input.truncate(LONGEST);
}

#[test]
fn every_input_of_the_corpus_is_stood() {
    for (target, run) in TARGETS {
        for (origin, input) in corpus(target) {
            feed(target, run, &origin, &input);
        }
    }
}

#[test]
fn mutations_of_the_corpus_are_stood() {
    let mut random = StdRng::seed_from_u64(seed());
    for (target, run) in TARGETS {
        // A bomb takes long, and stops being one when its compressed bytes change.
        let mut corpus = corpus(target);
        corpus.retain(|(origin, _)| !origin.contains("/bomb-"));
        for _ in 0..MUTATIONS {
            let (origin, input) = corpus.choose(&mut random).unwrap();
            let (_, other) = corpus.choose(&mut random).unwrap();
            let mut input = input.clone();
            mutate(&mut random, &mut input, other);
            feed(target, run, origin, &input);
        }
    }
}

//! Damage to the log: batches, what lies between them, files cut or gone.

use crate::Tally;
use crate::image::Image;
use crate::{mutate, visit};
use orrery_base::hash::{checksum, checksum_chain};
use orrery_base::rng::Rng;
use orrerydb::disk::FileId;

const SECTOR_BYTES: usize = 512;
const HEADER_BYTES: usize = 64;

/// A batch: where it begins and how long it is.
#[derive(Clone, Copy)]
struct Batch {
    at: usize,
    len: usize,
}

/// One damage, and a visit. What the log held may be gone without a word where its last batch is damaged (docs/log-format.md), so
/// answers are not held against the right ones.
///
/// # Errors
/// A finding.
pub fn iteration(image: &Image, rng: &mut Rng, seen: &mut Tally) -> Result<(), String> {
    let mut files = image.files.clone();
    let logs: Vec<FileId> = files.keys().copied().filter(|it| matches!(it, FileId::Log(_))).collect();
    if logs.is_empty() {
        // A closed database has none: it is given one that means nothing to it.
        let bytes = (0..rng.below(40) * 512).map(|_| rng.next_u64() as u8).collect();
        files.insert(FileId::Log(rng.below(3)), bytes);
        return finish(image, &files, seen);
    }
    let file = *rng.pick(&logs);
    let bytes = files.get_mut(&file).ok_or("a log without bytes")?;
    let batches = batches(bytes);
    match rng.below(12) {
        0 => bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize),
        1 => {
            let bytes = bytes.clone();
            files.insert(FileId::Log(rng.below(8)), bytes);
        }
        2 => drop(files.remove(&file)),
        3 => mutate::bytes(bytes, 4096, rng),
        _ if batches.is_empty() => mutate::bytes(bytes, 4096, rng),
        _ => {
            let index = rng.below(batches.len() as u64) as usize;
            let Batch { at, len } = batches[index];
            mutate::bytes(&mut bytes[at..at + len], 192, rng);
            if rng.chance(2, 3) {
                mend(bytes, &batches[index..]);
            }
        }
    }
    finish(image, &files, seen)
}

fn finish(image: &Image, files: &crate::disk::Files, seen: &mut Tally) -> Result<(), String> {
    visit::visit(files, None, seen).map(drop).map_err(|it| format!("{}: {it}", image.name))
}

/// The batches of a segment from its beginning on.
fn batches(bytes: &[u8]) -> Vec<Batch> {
    let (mut found, mut at) = (Vec::new(), 0);
    while bytes[at..].starts_with(b"OrLb") && bytes.len() >= at + HEADER_BYTES {
        let len = u32::from_le_bytes(bytes[at + 48..at + 52].try_into().expect("four bytes")) as usize;
        if len < HEADER_BYTES || at + len > bytes.len() {
            break;
        }
        found.push(Batch { at, len });
        at = (at + len).next_multiple_of(SECTOR_BYTES);
        if at >= bytes.len() {
            break;
        }
    }
    found
}

/// Gives the batches, the first of which was changed, checksums that fit, and chains them.
fn mend(bytes: &mut [u8], batches: &[Batch]) {
    let mut before = None;
    for Batch { at, len } in batches {
        // The length that it says now, where it has it.
        let said = u32::from_le_bytes(bytes[at + 48..at + 52].try_into().expect("four bytes")) as usize;
        let len = if said >= HEADER_BYTES && at + said <= bytes.len() { said } else { *len };
        let batch = &mut bytes[*at..at + len];
        if let Some(before) = before {
            batch[52..56].copy_from_slice(&u32::to_le_bytes(before));
        }
        let chain = u32::from_le_bytes(batch[52..56].try_into().expect("four bytes"));
        let sum = checksum(&batch[..56]);
        batch[56..60].copy_from_slice(&sum.to_le_bytes());
        let sum = checksum_chain(checksum_chain(chain, &batch[..60]), &batch[HEADER_BYTES..]);
        batch[60..64].copy_from_slice(&sum.to_le_bytes());
        before = Some(sum);
    }
}

//! Damage to the data file: superblock copies, pages of every kind, the file's length.

use crate::Tally;
use crate::image::{COPIES, COPY_BYTES, Image, Page};
use crate::{mutate, visit};
use orrery_base::hash::checksum;
use orrery_base::rng::Rng;
use orrerydb::disk::FileId;
use std::collections::BTreeSet;

/// One damage, and a visit.
///
/// # Errors
/// A finding.
pub fn iteration(image: &Image, rng: &mut Rng, seen: &mut Tally) -> Result<(), String> {
    let mut files = image.files.clone();
    let data = files.get_mut(&FileId::Data).ok_or("an image without data")?;
    let mends = rng.chance(1, 2);
    match rng.below(16) {
        0 | 1 => superblocks(data, mends, rng),
        2 => data.truncate(rng.below(data.len() as u64) as usize),
        3 => swap(image, data, mends, rng),
        _ => {
            for _ in 0..=rng.below(3) {
                let page = rng.pick(&image.pages);
                mutate::bytes(&mut data[page.at..page.at + page.len], 256, rng);
                if mends {
                    mend(image, data, page);
                }
            }
        }
    }
    let expected = (!mends).then_some(&image.answers);
    visit::visit(&files, expected, seen).map(drop).map_err(|it| format!("{}: {it}", image.name))
}

/// Changes one or several copies; in the same way, so that they stay a generation.
fn superblocks(data: &mut [u8], mends: bool, rng: &mut Rng) {
    let seed = rng.next_u64();
    let count = 1 + rng.below(4);
    for _ in 0..count {
        let at = *rng.pick(&COPIES);
        let copy = &mut data[at..at + COPY_BYTES];
        mutate::bytes(copy, 224, &mut Rng::new(seed));
        if mends {
            seal_copy(copy);
        }
    }
}

fn seal_copy(copy: &mut [u8]) {
    let sum = checksum(&copy[..COPY_BYTES - 4]);
    copy[COPY_BYTES - 4..].copy_from_slice(&sum.to_le_bytes());
}

/// A page lies where another one should.
fn swap(image: &Image, data: &mut [u8], mends: bool, rng: &mut Rng) {
    let (one, other) = (rng.pick(&image.pages), rng.pick(&image.pages));
    let len = one.len.min(other.len);
    let bytes = data[one.at..one.at + len].to_vec();
    data[other.at..other.at + len].copy_from_slice(&bytes);
    if mends {
        mend(image, data, other);
    }
}

/// Gives the pointers to a page its checksum, and those to the pages they lie in, up to the superblock.
fn mend(image: &Image, data: &mut [u8], page: &Page) {
    let (mut todo, mut done) = (vec![page.at], BTreeSet::new());
    while let Some(at) = todo.pop() {
        let Some(page) = image.pages.iter().find(|it| it.at == at).filter(|_| done.insert(at)) else {
            continue;
        };
        let sum = checksum(&data[page.at..page.at + page.len]);
        for &pointer in &page.pointers {
            data[pointer + 12..pointer + 16].copy_from_slice(&sum.to_le_bytes());
            if let Some(copy) = COPIES.iter().find(|copy| (**copy..**copy + COPY_BYTES).contains(&pointer)) {
                seal_copy(&mut data[*copy..*copy + COPY_BYTES]);
            }
            let holder = |it: &&Page| (it.at..it.at + it.len).contains(&pointer);
            todo.extend(image.pages.iter().find(holder).map(|it| it.at));
        }
    }
}

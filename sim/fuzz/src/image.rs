//! The files that are damaged: made by the engine, closed cleanly or cut off in the middle of its work, and where in them pages and
//! the pointers to them lie.

use crate::disk::{BoundedDisk, Files};
use crate::visit::{self, Answers};
use orrery_base::hash::checksum;
use orrerydb::disk::FileId;
use orrerydb::{Database, Error, Options};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The page unit of the files made here.
pub const UNIT_BYTES: usize = 8192;
/// Where superblock copies lie, and how long they are (docs/format.md).
pub const COPIES: [usize; 4] = [0, 8_192, 524_288, 532_480];
/// Bytes of a copy.
pub const COPY_BYTES: usize = 4096;

/// Files, and what is known of them.
pub struct Image {
    /// What it is, for messages.
    pub name: &'static str,
    /// The files.
    pub files: Files,
    /// The pages that a superblock reaches.
    pub pages: Vec<Page>,
    /// What a database that is whole answers.
    pub answers: Answers,
}

/// A page of the data file.
#[derive(Clone, Debug)]
pub struct Page {
    /// Where it begins.
    pub at: usize,
    /// Its length.
    pub len: usize,
    /// Where the pointers to it lie, all over the file.
    pub pointers: Vec<usize>,
}

/// How all databases here are opened.
pub fn options() -> Options {
    Options {
        create: false,
        threads: false,
        seed: Some(1),
        now: Some(1_790_000_000_000_000),
        memory_bytes: 64 << 20,
        ..Options::default()
    }
}

const TABLES: &str = "
    create type mood as enum ('sad', 'ok', 'happy');
    create table people (id integer primary key, name text not null, born date, score numeric(8,2) check (score > -1), m mood,
        tags text[], doc jsonb, twice numeric generated always as (score * 2) stored);
    create index by_name on people (name);
    create unique index by_score on people (score desc, id) where id > 100;
    create table notes (id bigint generated always as identity, person integer references people on delete cascade, body text,
        raw bytea, at timestamptz default now());
    create view happy as select * from people where m = 'happy';
    create table wide (k text primary key, a bigint, b double precision, c boolean, d uuid, e interval);
    insert into people select i, 'name ' || i % 97, date '1970-01-01' + i, i % 89, case i % 3 when 0 then 'sad' when 1 then 'ok' else 'happy' end::mood,
        array['a', null, 'tag ' || i], ('{\"n\": ' || i || '}')::jsonb from generate_series(1, 1500) i;
    insert into notes (person, body, raw) select i % 1500 + 1, repeat('note ', i % 7), decode(repeat('ab', i % 40), 'hex') from generate_series(1, 700) i;
    insert into notes (person, body) select i, repeat('long ' || i, 900 * i) from generate_series(1, 6) i;
    insert into wide select repeat('k', i % 200) || i, i * 1000003::bigint, i / 7.0, i % 2 = 0, md5(i::text)::uuid, make_interval(days => i) from generate_series(1, 400) i;
    analyze people";

const CHANGES: &str = "
    update people set score = score + 1 where id % 5 = 0;
    delete from people where id % 11 = 0;
    insert into wide select 'new ' || i, i, i, null, null, null from generate_series(1, 50) i;
    update notes set body = repeat('another ', 600) where id < 4";

const UNFOLDED: &str = "
    insert into people (id, name) values (5001, 'in the log');
    delete from notes where id = 9;
    update wide set a = 0 where a < 5000000;
    insert into wide select 'chunks ' || i || repeat('x', 300), i, i, true, null, null from generate_series(1, 1200) i;
    insert into people (id, name) values (5002, 'the last')";

/// Makes them all, and looks at each unchanged.
///
/// # Errors
/// One that is not changed is refused.
pub fn make_all() -> Result<Vec<Image>, String> {
    let shown = |error: Error| format!("an image: {error}");
    let disk = Arc::new(BoundedDisk::with(&Files::new()));
    let db = Database::with_driver(disk.clone(), &Options { create: true, ..options() }).map_err(shown)?;
    let mut connection = db.connect();
    connection.run(TABLES).map_err(shown)?;
    for number in 0..300_u32 {
        let key = format!("key/{:05}", number * 7919 % 100_000);
        db.key_value().set(key.as_bytes(), &vec![number as u8; number as usize % 50]).map_err(shown)?;
    }
    db.checkpoint().map_err(shown)?;
    connection.run(CHANGES).map_err(shown)?;
    db.checkpoint().map_err(shown)?;
    connection.run(UNFOLDED).map_err(shown)?;
    let cut = disk.files();
    drop(connection);
    db.close().map_err(shown)?;
    let closed = disk.files();
    let images = [("a database that was cut off", cut), ("a closed database", closed)];
    images.into_iter().map(|(name, files)| describe(name, files)).collect()
}

fn describe(name: &'static str, files: Files) -> Result<Image, String> {
    let data = files.get(&FileId::Data).ok_or("an image without data")?;
    let pages = pages(data);
    if pages.len() < 20 {
        return Err(format!("{name}: only {} pages were found", pages.len()));
    }
    let mut image = Image { name, files, pages, answers: Answers::default() };
    image.answers = visit::read(&image.files)?;
    Ok(image)
}

/// The pages that superblocks reach, with the pointers to them.
fn pages(data: &[u8]) -> Vec<Page> {
    let word = |at: usize| u64::from_le_bytes(data[at..at + 8].try_into().expect("eight bytes"));
    let half = |at: usize| u32::from_le_bytes(data[at..at + 4].try_into().expect("four bytes"));
    let mut found: BTreeMap<usize, (usize, u32)> = BTreeMap::new();
    for unit in 0..data.len() / UNIT_BYTES {
        let at = unit * UNIT_BYTES;
        let len = half(at + 4) as usize * UNIT_BYTES;
        if (1..=7).contains(&data[at]) && word(at + 8) == unit as u64 && len > 0 && at + len <= data.len() {
            found.insert(at, (len, checksum(&data[at..at + len])));
        }
    }
    let mut pointers: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for at in 0..data.len().saturating_sub(24) {
        let unit = word(at);
        let page = usize::try_from(unit).ok().and_then(|it| it.checked_mul(UNIT_BYTES));
        let Some((page, (len, sum))) = page.and_then(|page| Some((page, *found.get(&page)?))) else {
            continue;
        };
        if half(at + 8) as usize * UNIT_BYTES == len && half(at + 12) == sum {
            pointers.entry(page).or_default().push(at);
        }
    }
    let mut reached: BTreeMap<usize, Page> = BTreeMap::new();
    let is_copy = |at: usize| COPIES.iter().any(|copy| (*copy..*copy + COPY_BYTES).contains(&at));
    loop {
        let before = reached.len();
        for (&at, pointers) in &pointers {
            let is_reached = |it: &usize| {
                is_copy(*it) || reached.values().any(|page| (page.at..page.at + page.len).contains(it))
            };
            if !reached.contains_key(&at) && pointers.iter().any(is_reached) {
                reached.insert(at, Page { at, len: found[&at].0, pointers: pointers.clone() });
            }
        }
        if reached.len() == before {
            return reached.into_values().collect();
        }
    }
}

//! Salvage of real files, damaged in every place: what the new database has is never wrong, what it lacks is told, and where the older
//! generation and the log have it all, nothing is lost.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use orrerydb::{Database, Options, SalvageReport, SqlState};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const UNIT: usize = 8192;
/// Where the superblock copies lie: generation 0, generation 1; first copy, second copy.
const PLACES: [[usize; 2]; 2] = [[0, 524_288], [8_192, 532_480]];
const ROWS: &str = "select id, a, u, b from t";

type State = BTreeMap<i64, (i64, i64, String)>;

fn rows(db: &Database, sql: &str) -> State {
    let mut connection = db.connect();
    let rows = connection.query(sql, &[]).unwrap();
    rows.map(|row| {
        let row = row.unwrap();
        (row.get(0).unwrap(), (row.get(1).unwrap(), row.get(2).unwrap(), row.get(3).unwrap()))
    })
    .collect()
}

/// A database file and its log, as a crash would leave them, and what it holds.
struct Image {
    data: Vec<u8>,
    log: Vec<(String, Vec<u8>)>,
    state: State,
}

fn image(folder: &Path, is_closed: bool) -> Image {
    let path = folder.join("source.db");
    let options = Options { threads: false, history_seconds: 0, ..Options::default() };
    let db = Database::open_with(&path, &options).unwrap();
    let mut connection = db.connect();
    connection
        .run("create table t (id bigint primary key, a bigint, u bigint unique, b text); create index ta on t (a);
              create table counter (n bigint); insert into counter values (0);
              insert into t select n, n % 50, n, case when n % 700 = 1 then repeat('long', 6000) else 'row ' || n end
                  from generate_series(1, 4000) as s(n)")
        .unwrap();
    db.checkpoint().unwrap();
    connection
        .run("update t set a = a + 100 where id between 1000 and 1500; delete from t where id = 7")
        .unwrap();
    db.checkpoint().unwrap();
    for number in 1..=20_i64 {
        let sql = "update counter set n = $1";
        let statement = connection.prepare(sql).unwrap();
        connection.execute_prepared(&statement, &[number.into()]).unwrap();
        let sql = format!("update t set b = 'changed {number}' where id = {}", number * 100);
        connection.run(&sql).unwrap();
    }
    let state = rows(&db, ROWS);
    let read = |db: Option<Database>| {
        let data = fs::read(&path).unwrap();
        let log = fs::read_dir(folder.join("source.db-log")).into_iter().flatten();
        let log = log.map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().to_str().unwrap().to_owned(), fs::read(entry.path()).unwrap())
        });
        let mut log: Vec<_> = log.collect();
        log.sort();
        drop(db);
        Image { data, log, state: state.clone() }
    };
    if is_closed {
        drop(connection);
        db.close().unwrap();
        return read(None);
    }
    read(Some(db))
}

impl Image {
    /// Writes a changed copy down.
    fn put(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>, &mut Vec<(String, Vec<u8>)>)) {
        let (mut data, mut log) = (self.data.clone(), self.log.clone());
        change(&mut data, &mut log);
        let folder = PathBuf::from(format!("{}-log", path.display()));
        drop(fs::remove_dir_all(&folder));
        fs::write(path, data).unwrap();
        if !log.is_empty() {
            fs::create_dir(&folder).unwrap();
        }
        for (name, bytes) in log {
            fs::write(folder.join(name), bytes).unwrap();
        }
    }

    /// The page units that hold something, with their kinds.
    fn units(&self) -> Vec<(usize, u8)> {
        let all = (0..self.data.len() / UNIT).filter(|unit| {
            let range = unit * UNIT..(unit + 1) * UNIT;
            !PLACES.iter().flatten().any(|place| range.contains(place))
                && self.data[range].iter().any(|&byte| byte != 0)
        });
        all.map(|unit| (unit, self.data[unit * UNIT])).collect()
    }
}

/// Salvages a changed copy. `None`: the catalogue could not be understood, or no superblock is whole.
fn salvaged(
    folder: &Path,
    image: &Image,
    change: impl FnOnce(&mut Vec<u8>, &mut Vec<(String, Vec<u8>)>),
) -> Option<(SalvageReport, Database)> {
    let (source, target) = (folder.join("damaged.db"), folder.join("salvaged.db"));
    drop(fs::remove_file(&target));
    image.put(&source, change);
    let before = fs::read(&source).unwrap();
    let report = match Database::salvage(&source, &target) {
        Ok(report) => report,
        Err(error) => {
            assert_eq!(error.code(), SqlState::DATA_CORRUPTED, "{error:?}");
            assert!(!target.exists());
            return None;
        }
    };
    assert_eq!(fs::read(&source).unwrap(), before, "the damaged file is only read");
    Some((report, Database::open_with(&target, &Options { threads: false, ..Options::default() }).unwrap()))
}

/// What there is, is right; what is missing is told. Gives how many rows are missing, `None` when the table is.
fn judge(image: &Image, report: &SalvageReport, db: &Database, what: &str) -> Option<usize> {
    if !report.tables.iter().any(|it| it.table == "t") {
        assert!(report.has_losses, "{what}: {report:?}");
        return None;
    }
    let found = rows(db, ROWS);
    for (id, row) in &found {
        assert_eq!(image.state.get(id), Some(row), "{what}: row {id}: {report:?}");
    }
    assert_eq!(rows(db, &format!("{ROWS} where a >= 0")), found, "{what}: by an index");
    let missing = image.state.len() - found.len();
    let told = report.tables.iter().find(|it| it.table == "t").unwrap();
    assert_eq!(told.row_count as usize, found.len(), "{what}");
    assert!(missing == 0 || report.has_losses, "{what}: {missing} rows are missing: {report:?}");
    // Some of them the log may have had.
    assert!(told.lost_count as usize + 21 >= missing, "{what}: {missing} rows are missing: {report:?}");
    assert!(told.lost_count as usize <= missing, "{what}: {missing} rows are missing: {report:?}");
    Some(missing)
}

#[test]
fn a_sound_file_is_salvaged_whole() {
    let folder = tempfile::tempdir().unwrap();
    for is_closed in [false, true] {
        drop(fs::remove_file(folder.path().join("source.db")));
        let image = image(folder.path(), is_closed);
        let (report, db) = salvaged(folder.path(), &image, |_, _| ()).unwrap();
        assert_eq!(judge(&image, &report, &db, "sound"), Some(0));
        assert!(!report.has_losses && report.lines.is_empty(), "{report:?}");
        assert!(report.tables.iter().all(|it| !it.is_mended));
        db.connect()
            .run("insert into t values (5001, 1, 5001, ''); update t set a = 3 where u = 5001")
            .unwrap();
    }
}

#[test]
fn each_page_of_a_file_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), false);
    assert!(!image.log.is_empty());
    let (mut kinds, mut whole, mut lossy) = (BTreeMap::<u8, u32>::new(), 0, 0);
    for (unit, kind) in image.units() {
        let what = format!("unit {unit} of kind {kind}");
        let outcome = salvaged(folder.path(), &image, |data, _| data[unit * UNIT + 100] ^= 4);
        let Some((report, db)) = outcome else { continue };
        match judge(&image, &report, &db, &what) {
            Some(0) => whole += 1,
            _ => lossy += 1,
        }
        *kinds.entry(kind).or_default() += 1;
    }
    // Inner, leaf, overflow, free space and its root.
    for kind in [1, 3, 5, 6, 7] {
        assert!(kinds.contains_key(&kind), "{kinds:?}");
    }
    assert!(whole > 10 && lossy > 10, "{whole} whole, {lossy} with losses");
}

#[test]
fn each_page_of_a_closed_file() {
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), true);
    assert!(image.log.is_empty());
    let (mut lossy, mut mended) = (0, 0);
    for (unit, kind) in image.units() {
        let what = format!("unit {unit} of kind {kind}");
        let outcome = salvaged(folder.path(), &image, |data, _| data[unit * UNIT + 4000] ^= 1);
        let Some((report, db)) = outcome else { continue };
        let missing = judge(&image, &report, &db, &what);
        lossy += u32::from(missing.is_some_and(|count| count > 0));
        mended += u32::from(missing == Some(0) && report.tables.iter().any(|it| it.is_mended));
    }
    assert!(lossy > 10 && mended > 5, "{lossy} with losses, {mended} with indexes made anew only");
}

#[test]
fn superblock_copies() {
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), false);
    let flip = |data: &mut Vec<u8>, at: usize| data[at + 50] ^= 1;
    for at in PLACES.into_iter().flatten() {
        let (report, db) = salvaged(folder.path(), &image, |data, _| flip(data, at)).unwrap();
        assert_eq!(judge(&image, &report, &db, "one copy"), Some(0));
        assert!(!report.has_losses && report.lines.len() == 1, "{report:?}");
    }
    for places in PLACES {
        let both = |data: &mut Vec<u8>, _: &mut _| places.into_iter().for_each(|at| flip(data, at));
        let (report, db) = salvaged(folder.path(), &image, both).unwrap();
        assert_eq!(judge(&image, &report, &db, "a generation"), Some(0), "{report:?}");
    }
    let all = |data: &mut Vec<u8>, _: &mut _| PLACES.into_iter().flatten().for_each(|at| flip(data, at));
    assert!(salvaged(folder.path(), &image, all).is_none(), "without a superblock nothing verifies");
}

#[test]
fn the_log() {
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), false);
    let (mut lost, mut intact) = (0, 0);
    for (number, (name, bytes)) in image.log.iter().enumerate() {
        let used = bytes.iter().rposition(|&byte| byte != 0).unwrap_or(0);
        let last_sectors = (1..40).map(|sector| (used / 512 * 512 + 40).saturating_sub(sector * 512));
        for at in (40..used).step_by((used / 10).max(1)).chain(last_sectors) {
            let what = format!("log {name} at {at}");
            let change = |_: &mut Vec<u8>, log: &mut Vec<(String, Vec<u8>)>| log[number].1[at] ^= 16;
            let (report, db) = salvaged(folder.path(), &image, change).unwrap();
            let n: i64 = db
                .connect()
                .query("select n from counter", &[])
                .unwrap()
                .next()
                .unwrap()
                .unwrap()
                .get(0)
                .unwrap();
            // Whole commits, in order: what the last of them says is what all say.
            let changed = rows(&db, &format!("{ROWS} where b like 'changed%'"));
            assert!(
                changed.len() as i64 == n || changed.len() as i64 + 1 == n,
                "{what}: {n}, {}",
                changed.len()
            );
            // Damage in the very last batch looks like a torn write.
            assert!(n >= 19 || report.has_losses, "{what}: {n}: {report:?}");
            if n < 20 { lost += 1 } else { intact += 1 }
        }
    }
    assert!(lost > 5, "{lost} lost something, {intact} did not");
    let (report, db) = salvaged(folder.path(), &image, |_, log| log.clear()).unwrap();
    assert!(report.has_losses, "{report:?}");
    assert!(rows(&db, &format!("{ROWS} where b like 'changed%'")).is_empty());
}

#[test]
fn what_cannot_be_salvaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let code = |source: &str, target: &str| Database::salvage(path(source), path(target)).unwrap_err().code();
    assert_eq!(code("absent.db", "target.db"), SqlState::UNDEFINED_FILE);
    fs::write(path("other.db"), vec![b'x'; 2 << 20]).unwrap();
    assert_eq!(code("other.db", "target.db"), SqlState::SYSTEM_ERROR);
    image(folder.path(), true);
    fs::write(path("taken.db"), b"mine").unwrap();
    assert_eq!(code("source.db", "taken.db"), SqlState::IO_ERROR);
    assert_eq!(fs::read(path("taken.db")).unwrap(), b"mine");
}

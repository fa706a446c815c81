//! What the disk model keeps and what it loses.

use super::*;

const DATA: FileId = FileId::Data;

fn write(disk: &mut Disk, offset: u64, bytes: &[u8]) -> DiskResult {
    let mark = disk.submission_mark();
    disk.perform(DiskOp::Write { file: DATA, offset, data: AlignedBuf::from(bytes) }, mark)
}

fn sync(disk: &mut Disk) -> DiskResult {
    let mark = disk.submission_mark();
    disk.perform(DiskOp::Sync { file: DATA }, mark)
}

fn read(disk: &mut Disk, len: usize) -> Vec<u8> {
    match disk.perform(DiskOp::Read { file: DATA, offset: 0, len }, 0) {
        Ok(DiskReply::Read(bytes)) => bytes.to_vec(),
        Err(error) if error.kind == DiskErrorKind::NotFound => vec![],
        other => panic!("{other:?}"),
    }
}

#[test]
fn synced_bytes_survive_and_others_may_not() {
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let mut disk = Disk::new(seed, DiskFaults::default());
        write(&mut disk, 0, &[1; 1024]).expect("written");
        sync(&mut disk).expect("synced");
        write(&mut disk, 512, &[2; 1024]).expect("written");
        write(&mut disk, 512, &[3; 512]).expect("written");
        disk.crash(vec![]);
        let bytes = read(&mut disk, 4096);
        assert_eq!(bytes[..512], [1; 512], "synced");
        assert!(
            bytes[512..].chunks(512).all(|sector| sector.iter().all(|&byte| byte == sector[0])),
            "whole sectors"
        );
        outcomes.insert((bytes[512], bytes.get(1024).copied()));
    }
    for expected in [(1, None), (2, None), (3, None), (1, Some(2)), (2, Some(2)), (3, Some(2))] {
        assert!(outcomes.contains(&expected), "{expected:?} never happened: {outcomes:?}");
    }
    assert_eq!(outcomes.len(), 6);
}

#[test]
fn a_sync_covers_what_completed_before_its_submission() {
    let mut lost = 0;
    for seed in 0..50 {
        let mut disk = Disk::new(seed, DiskFaults::default());
        write(&mut disk, 0, &[1; 512]).expect("written");
        let mark = disk.submission_mark();
        write(&mut disk, 512, &[2; 512]).expect("written");
        disk.perform(DiskOp::Sync { file: DATA }, mark).expect("synced");
        disk.crash(vec![]);
        let bytes = read(&mut disk, 4096);
        assert_eq!(bytes[..512], [1; 512]);
        lost += usize::from(bytes.len() == 512);
    }
    assert!(lost > 5, "the later write was durable every time");
}

#[test]
fn after_a_failed_sync_no_later_one_helps() {
    let (mut lost, mut kept) = (0, 0);
    for seed in 0..50 {
        let mut disk = Disk::new(seed, DiskFaults { sync_error_per_mille: 1000, ..DiskFaults::default() });
        let mark = disk.submission_mark();
        disk.perform(DiskOp::Allocate { file: DATA, len: 512, fill: false }, mark).expect("allocated");
        write(&mut disk, 0, &[7; 512]).expect("written");
        sync(&mut disk).expect_err("fails");
        disk.faults.sync_error_per_mille = 0;
        sync(&mut disk).expect("synced");
        assert_eq!(read(&mut disk, 512), [7; 512], "still readable");
        disk.crash(vec![]);
        match read(&mut disk, 512)[0] {
            0 => lost += 1,
            7 => kept += 1,
            other => panic!("{other}"),
        }
    }
    assert!(lost > 5 && kept > 5, "{lost} lost, {kept} kept");
}

#[test]
fn unsynced_files_may_vanish_and_allocated_ones_stay() {
    let (mut gone, mut there) = (0, 0);
    for seed in 0..50 {
        let mut disk = Disk::new(seed, DiskFaults::default());
        disk.perform(DiskOp::Allocate { file: FileId::Log(1), len: 4096, fill: true }, 0).expect("allocated");
        write(&mut disk, 0, b"x").expect("written");
        disk.crash(vec![]);
        assert_eq!(disk.durable(FileId::Log(1)).map(<[u8]>::len), Some(4096));
        if disk.durable(DATA).is_some() { there += 1 } else { gone += 1 }
    }
    assert!(gone > 5 && there > 5);
}

#[test]
fn full_disks_take_overwrites() {
    let mut disk = Disk::new(1, DiskFaults { capacity_bytes: 1000, ..DiskFaults::default() });
    write(&mut disk, 0, &[1; 800]).expect("fits");
    let error = write(&mut disk, 700, &[1; 400]).expect_err("does not fit");
    assert_eq!(error.kind, DiskErrorKind::Full);
    write(&mut disk, 100, &[2; 700]).expect("grows nothing");
    assert_eq!(disk.counts.full_count, 1);
}

#[test]
fn damage_is_done() {
    let mut disk = Disk::new(1, DiskFaults::default());
    write(&mut disk, 0, &[0; 64 << 10]).expect("written");
    sync(&mut disk).expect("synced");
    disk.lose_next();
    write(&mut disk, 0, &[9; 4096]).expect("answered");
    assert_eq!(read(&mut disk, 1), [0], "lost");
    disk.misdirect_next();
    write(&mut disk, 0, &[9; 4096]).expect("answered");
    assert_eq!(read(&mut disk, 64 << 10).iter().filter(|&&byte| byte == 9).count(), 4096);
    write(&mut disk, 0, &[8; 1]).expect("written");
    assert_eq!(read(&mut disk, 1), [8], "only one went astray");
    assert!(disk.flip_bit(DATA, 60_000, 3) && !disk.flip_bit(FileId::Log(9), 0, 0));
}

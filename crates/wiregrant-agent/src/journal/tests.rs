//! The journal on a real file system.

use super::*;
use std::os::unix::fs::FileExt as _;

fn told(contents: &Contents) -> Vec<String> {
    let text = |(_, payload): &(usize, Vec<u8>)| String::from_utf8(payload.clone()).unwrap();
    contents.records.iter().map(text).collect()
}

fn journal_of(records: &[&str]) -> (tempfile::TempDir, PathBuf, Journal) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let (mut journal, contents) = Journal::open(&path).unwrap();
    assert_eq!(contents, Contents::default());
    records.iter().for_each(|record| journal.append(record.as_bytes()).unwrap());
    (folder, path, journal)
}

#[test]
fn a_torn_tail_is_cut_off_and_written_over() {
    let (_folder, path, _) = journal_of(&["one"]);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, [&whole[..], &[9, 0, 0, 0, 1, 2, 3]].concat()).unwrap();
    let (mut journal, contents) = Journal::open(&path).unwrap();
    assert_eq!((told(&contents), contents.torn, contents.damage), (vec!["one".into()], 7, None));
    journal.append(b"two").unwrap();
    assert_eq!(told(&load(&path).unwrap()), ["one", "two"]);
}

#[test]
fn compacting_keeps_one_record_and_appending_goes_on() {
    let (_folder, path, mut journal) = journal_of(&["one", "two"]);
    journal.compact(b"both").unwrap();
    journal.append(b"three").unwrap();
    let contents = load(&path).unwrap();
    assert_eq!((told(&contents), contents.damage), (vec!["both".into(), "three".into()], None));
    assert_eq!(journal.bytes(), fs::metadata(&path).unwrap().len());
}

#[test]
fn damage_to_the_last_record_is_told_and_the_file_kept_when_it_is_replaced() {
    let (_folder, path, mut journal) = journal_of(&["one", "two"]);
    let end = journal.bytes();
    journal.file.write_all_at(b"X", end - 1).unwrap();
    let damaged = fs::read(&path).unwrap();
    (journal, _) = Journal::open(&path).unwrap();
    let contents = load(&path).unwrap();
    assert_eq!((told(&contents), contents.damage.unwrap().lost), (vec!["one".into()], 8 + 3));
    let kept_as = journal.replace_damaged(b"one again").unwrap();
    assert_eq!(fs::read(&kept_as).unwrap(), damaged);
    journal.append(b"three").unwrap();
    let contents = load(&path).unwrap();
    assert_eq!((told(&contents), contents.damage), (vec!["one again".into(), "three".into()], None));
    assert_eq!(kept(&path).unwrap(), [kept_as]);
}

#[test]
fn no_more_damaged_files_are_kept_than_the_limit() {
    let (_folder, path, mut journal) = journal_of(&["one"]);
    (0..=MAX_KEPT).for_each(|_| drop(journal.replace_damaged(b"one").unwrap()));
    assert_eq!(kept(&path).unwrap().len(), MAX_KEPT);
}

#[test]
fn a_mark_or_name_that_the_disk_spoilt_is_mended_and_nothing_lost() {
    for position in [3, 600, 1100] {
        let (_folder, path, journal) = journal_of(&["one", "two", "three"]);
        let before = fs::read(&path).unwrap()[position];
        journal.file.write_all_at(&[before ^ 4], position as u64).unwrap();
        let (_, contents) = Journal::open(&path).unwrap();
        assert_eq!((told(&contents).len(), contents.header_whole, contents.damage), (3, false, None));
        assert!(load(&path).unwrap().header_whole);
    }
}

#[test]
fn after_a_power_cut_damage_to_the_very_last_record_is_told_too() {
    let (_folder, path, mut journal) = journal_of(&[]);
    fault::watch_the_disk();
    for record in ["one", "two", "three"] {
        let before = load(&path).unwrap().mark;
        journal.append(record.as_bytes()).unwrap();
        let disk = fault::after_a_power_cut();
        assert_eq!(read(&disk).mark, journal.mark, "{record}: what was appended is there");
        for position in before.end..disk.len() {
            let mut flipped = disk.clone();
            flipped[position] ^= 1;
            let lost = disk.len() - before.end;
            assert_eq!(
                read(&flipped).damage,
                Some(Damage { offset: before.end, lost }),
                "{record} {position}"
            );
            assert!(read(&disk[..position]).damage.is_some(), "{record} cut at {position}");
        }
    }
}

#[test]
fn killed_at_any_step_of_any_write_a_record_counts_wholly_or_not_at_all() {
    for (steps, part) in (0..32).flat_map(|steps| [0, 1, 128, 255].map(|part| (steps, part))) {
        let (_folder, path, mut journal) = journal_of(&["zero"]);
        fault::after(steps, part);
        let mut acknowledged = vec!["zero".to_owned()];
        let mut begun = None;
        for (number, record) in ["one", "two", "three", "four"].into_iter().enumerate() {
            if number == 2 && journal.compact(acknowledged.join(" ").as_bytes()).is_ok() {
                acknowledged = vec![acknowledged.join(" ")];
            }
            begun = Some(record);
            if journal.append(record.as_bytes()).is_err() {
                break;
            }
            acknowledged.push(record.to_owned());
            begun = None;
        }
        fault::clear();
        let (_, contents) = Journal::open(&path).unwrap();
        // A replacement that was killed may have happened: it says the same.
        let found = told(&contents).join(" ");
        let least = acknowledged.join(" ");
        let most = begun.map_or(least.clone(), |record| format!("{least} {record}"));
        assert!(found == least || found == most, "{steps} {part}: {found:?}, not {least:?} or {most:?}");
        assert_eq!(contents.damage, None, "{steps} {part}");
    }
}

//! How much of a backup was new, and what it took: what a comparison of backups rests on.

use super::places::{password, place};
use crate::domain::change::evidence::NewData;
use crate::repository::Storing;
use crate::repository::contract::{candidate, manifest, moment, noise_bytes};
use crate::repository::restic::ResticRepository;

#[test]
fn a_candidate_knows_what_was_new_in_it_and_how_well_that_compressed() {
    let place = place();
    let repository = ResticRepository::new(place.path().join("repository"), password());
    repository.prepare().unwrap();
    let store = |hour: i64, content: &[u8]| -> NewData {
        let new = candidate("shop", &format!("{hour:02}"), moment(hour), &[("dump.sql", content)]);
        let stored = repository.store(new).unwrap();
        let (new_data, manifest) = (stored.new_data.unwrap(), manifest(&stored));
        repository.publish(stored, &manifest).unwrap();
        new_data
    };
    let line = |at: u32| format!("({at},'customer {at} lives in street {} and pays by invoice'),\n", at % 97);
    let text: String = (0..40_000).map(line).collect();
    let first = store(0, text.as_bytes());
    assert_eq!(first.bytes, text.len() as u64);
    assert!(first.compression(u64::MAX).unwrap() < 0.3, "{first:?}");
    let same = store(1, text.as_bytes());
    assert_eq!((same, same.compression(u64::MAX)), (NewData::default(), None), "nothing is new, and that says nothing");
    let noise = store(2, &noise_bytes(7, 2_000_000));
    assert_eq!(noise.bytes, 2_000_000);
    assert!((0.99..1.01).contains(&noise.compression(u64::MAX).unwrap()), "{noise:?}");
}

//! What is said while a repository cannot be read, and of what other hosts have in it.

use serde_json::Value;

use super::{Place, assert_says};

#[tokio::test]
async fn a_promise_that_recovery_points_kept_is_not_known_to_be_kept_while_their_repository_cannot_be_read() {
    let mut place = Place::seeded().await;
    let met = async |place: &Place| place.json("/api/v1/status").await["sources"][0]["met"].clone();
    for repository in place.view.service.repositories.values_mut() {
        repository.up = Some(true);
    }
    let before = met(&place).await;
    assert_eq!((&before["rpo"], &before["max_chain_length"]), (&true.into(), &true.into()), "{before}");
    for repository in place.view.service.repositories.values_mut() {
        repository.up = Some(false);
    }
    let unseen = met(&place).await;
    assert_eq!((&unseen["rpo"], &unseen["max_chain_length"]), (&Value::Null, &Value::Null), "{unseen}");
    for drilled in ["rto", "drill_interval"] {
        assert_eq!(unseen[drilled], before[drilled], "{drilled} rests on drills");
    }
    let one = place.json("/api/v1/sources/agama").await;
    assert_eq!((&one["met"], &one["problem_side"]), (&unseen, &"repository".into()));
    assert_says(&place.text("/").await, &["not known"]);
    let page = place.text("/sources/agama").await;
    assert_says(&page, &["not known"]);
    assert!(!page.contains("Keeps all its promises"), "{page}");
}

#[tokio::test]
async fn recovery_points_of_other_hosts_are_told_beside_the_own_ones() {
    let mut place = Place::seeded().await;
    assert!(place.json("/api/v1/sources/agama").await.get("other_hosts").is_none());
    let said = "the repository also has recovery points of agama: 1 from host <db2>";
    place.view.service.other_hosts.insert("agama".to_owned(), said.to_owned());
    assert_eq!(place.json("/api/v1/sources/agama").await["other_hosts"], said);
    assert_says(&place.text("/sources/agama").await, &["The repository also has", "host &lt;db2&gt;."]);
    assert!(!place.text("/sources/new").await.contains("The repository also has"));
}

//! Who may call.

use std::time::Duration;

use jiff::Timestamp;
use proto::Digest;

use crate::Store;
use crate::store::{NewToken, Role};

fn start() -> Timestamp {
    "2026-01-02T01:30:00Z".parse().unwrap()
}

fn token(id: &str, role: Role) -> NewToken {
    NewToken {
        id: id.to_owned(),
        name: format!("for {id}"),
        role,
        digest: Digest::of(id.as_bytes()),
        created_at: start(),
        created_by: "ann".to_owned(),
    }
}

/// Its digest is all that is known of it.
pub async fn a_token_is_found_by_its_digest_until_it_is_revoked(store: Store) {
    for (id, role) in [("ci", Role::Write), ("dashboard", Role::Read)] {
        assert!(store.create_token(&token(id, role)).await.unwrap());
    }
    assert!(!store.create_token(&token("ci", Role::Read)).await.unwrap(), "it is there, and stays as it is");
    let mut copy = token("copy", Role::Write);
    copy.digest = Digest::of(b"ci");
    store.create_token(&copy).await.unwrap_err();

    let found = store.find_token(&Digest::of(b"ci")).await.unwrap().unwrap();
    assert_eq!((found.id.as_str(), found.name.as_str(), found.role), ("ci", "for ci", Role::Write));
    assert_eq!((found.created_at, found.created_by.as_str()), (start(), "ann"));
    assert_eq!((found.last_used_at, found.revoked_at), (None, None));
    assert_eq!(store.find_token(&Digest::of(b"guessed")).await.unwrap(), None);

    let later = start().checked_add(Duration::from_secs(60)).unwrap();
    for used in [later, start()] {
        store.note_token_used("ci", used).await.unwrap();
    }
    assert!(store.revoke_token("ci", later).await.unwrap());
    assert!(!store.revoke_token("ci", start()).await.unwrap());
    assert!(!store.revoke_token("nobody", start()).await.unwrap());
    assert_eq!(store.find_token(&Digest::of(b"ci")).await.unwrap(), None);
    let all = store.tokens().await.unwrap();
    assert_eq!(all.iter().map(|token| token.id.as_str()).collect::<Vec<_>>(), ["ci", "dashboard"]);
    assert_eq!((all[0].last_used_at, all[0].revoked_at), (Some(later), Some(later)), "the latest use, the first end");
}

//! Giving policies that older releases stored as `default.<name>` the key `<name>`.

use tortie_api::{Kind, Object};

use super::{Change, Client, ClientError, Done, Outcome, user_form};
use tortie_store::{Selection, Stored, Write, WriteError};

/// Moves every policy of the default tier whose key is not its name; one outcome for each. Can be run again at
/// any time.
///
/// If the new key has the same policy, an earlier run was interrupted, and only the old entry is deleted.
/// If it has another policy, both stay and that is an error: deleting one would lose it.
pub(super) fn migrate(client: &Client) -> Result<Vec<Outcome>, ClientError> {
    let mut moves = Vec::new();
    for kind in Kind::TIERED {
        for stored in client.store.list(&Selection::kind(kind))?.items {
            // One that cannot be read has no other name that is known.
            let Ok(object) = user_form::read(&stored) else { continue };
            if object.key() != stored.key && user_form::tier(&object) == "default" {
                moves.push((stored, object));
            }
        }
    }
    let mut results: Vec<Result<(), ClientError>> = moves.iter().map(|_| Ok(())).collect();
    if !moves.is_empty() {
        let creates: Vec<Write> =
            moves.iter().map(|(_, object)| Write::create(object.key(), user_form::write(object))).collect();
        results = client.store.write(&creates)?.into_iter().zip(&moves).map(made).collect();
        // The old ones go only when the new ones are there, so that at no moment a policy is absent.
        let (old, deletes): (Vec<usize>, Vec<Write>) = moves
            .iter()
            .enumerate()
            .filter(|(at, _)| results[*at].is_ok())
            .map(|(at, (stored, _))| (at, Write::delete(stored.key.clone(), Some(stored.revision.clone()))))
            .unzip();
        for (at, answer) in old.into_iter().zip(client.store.write(&deletes)?) {
            match answer {
                Ok(_) | Err(WriteError::Missing) => {}
                Err(error) => results[at] = Err(ClientError::refused(&moves[at].0.key, error)),
            }
        }
    }
    let outcome = |((stored, object), result): ((Stored, Object), Result<(), ClientError>)| Outcome {
        key: stored.key,
        result: result.map(|()| Done::new(Change::Changed, object)),
    };
    Ok(moves.into_iter().zip(results).map(outcome).collect())
}

fn made(
    (answer, (_, object)): (Result<tortie_store::Written, WriteError>, &(Stored, Object)),
) -> Result<(), ClientError> {
    match answer {
        Ok(_) => Ok(()),
        Err(WriteError::Exists(other)) if user_form::read(&other).is_ok_and(|other| other.body == object.body) => {
            Ok(())
        }
        Err(error @ (WriteError::Refused(_) | WriteError::Unsupported { .. })) => {
            Err(ClientError::refused(&object.key(), error))
        }
        Err(_) => Err(ClientError::Exists { key: object.key() }),
    }
}

//! Changing labels.

use tortie_api::Object;

use super::{ClientError, LabelChange};

/// The object with its labels changed, all of them or none.
pub(super) fn change(object: &Object, changes: &[LabelChange]) -> Result<Object, ClientError> {
    let mut object = object.clone();
    let labels = &mut object.metadata.labels;
    for change in changes {
        match change {
            LabelChange::Set { key, value, overwrite } => match labels.get(key) {
                Some(old) if old != value && !overwrite => {
                    return Err(ClientError::LabelTaken { key: key.clone(), value: old.clone() });
                }
                _ => drop(labels.insert(key.clone(), value.clone())),
            },
            LabelChange::Remove { key } => {
                if labels.remove(key).is_none() {
                    return Err(ClientError::LabelMissing { key: key.clone() });
                }
            }
        }
    }
    Ok(object)
}

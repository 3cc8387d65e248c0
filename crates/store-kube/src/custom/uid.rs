//! The uid that users see of an object whose own uid is Kubernetes'.

use uuid::Uuid;

/// A uid that cannot be transformed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a uid")]
pub struct UidError(String);

/// Reverses the bits of every byte but those that hold version and variant. Twice gives the first again.
pub fn transform(uid: &str) -> Result<String, UidError> {
    let mut bytes = Uuid::parse_str(uid).map_err(|_| UidError(uid.to_owned()))?.into_bytes();
    for (at, byte) in bytes.iter_mut().enumerate() {
        if at != 6 && at != 8 {
            *byte = byte.reverse_bits();
        }
    }
    Ok(Uuid::from_bytes(bytes).to_string())
}

#[cfg(test)]
mod tests {
    use super::transform;

    #[test]
    fn uids_are_transformed_as_calico_does_and_back() {
        let (one, other) = ("30316465-6365-4463-ad63-3564622d3638", "0c8c26a6-c6a6-44c6-adc6-ac2646b46c1c");
        assert_eq!(transform(one).unwrap(), other);
        assert_eq!(transform(other).unwrap(), one);
        assert_eq!(transform("30316465-6365-4463-AD63-3564622D3638").unwrap(), other);
        for wrong in ["", "x", "30316465-6365-4463-ad63"] {
            assert_eq!(transform(wrong).unwrap_err().to_string(), format!("`{wrong}` is not a uid"));
        }
    }
}

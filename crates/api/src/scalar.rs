//! Scalars that have a text form of their own: ports, protocols, durations, numbers that may be text.
//!
//! They keep the text as written; `tortie-net` reads numbers and ranges from it.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

macro_rules! scalar {
    ($(#[$doc:meta])* $name:ident $tag:literal $($key:literal: $value:expr),*) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Value);

        impl $name {
            /// Its text: `80`, `80:90`, `http`, `TCP`.
            pub fn text(&self) -> String {
                match &self.0 {
                    Value::String(text) => text.clone(),
                    Value::Null => String::new(),
                    other => other.to_string(),
                }
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(Value::from(text))
            }
        }

        impl From<u64> for $name {
            fn from(number: u64) -> Self {
                Self(Value::from(number))
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "x-type": $tag, $($key: $value),* })
            }
        }
    };
}

scalar!(
    /// A port number, a range `first:last`, or the name of an endpoint's port.
    Port "port" "type": ["integer", "string"]
);
scalar!(
    /// A protocol's name or number.
    Protocol "protocol" "type": ["integer", "string"]
);
scalar!(
    /// A number or a text.
    IntOrString "int-or-string" "type": ["integer", "string"]
);
scalar!(
    /// A class of service: 0 to 63, or its name. A number that is written as text becomes a number.
    Dscp "dscp" "type": ["integer", "string"]
);
scalar!(
    /// Go's text for a duration: `1m30s`.
    Duration "duration" "type": "string"
);
scalar!(
    /// A duration that the schema layer checks against a pattern. The doubled backslash is the schema's own; with it
    /// `1.5s` is refused (`0.5h` passes, since it is `30m0s` by then).
    Interval "duration" "type": "string", "pattern": r"^([0-9]+(\\.[0-9]+)?(ms|s|m|h))*$"
);
scalar!(
    /// An AS number: a number, or `high.low`. Schemas, where there is one, refuse what needs the 32nd bit.
    AsNumber "as-number" "type": ["integer", "string"], "x-format": "int32"
);
scalar!(
    /// A time, RFC 3339.
    Time "time" "type": "string"
);

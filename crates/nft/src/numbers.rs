//! The macro `numbers!`, for enums whose values are the kernel's constants.

/// Declares an enumeration whose values are the kernel's numbers, with both conversions. Reading a
/// number that is not listed is a [`DecodeError::Unknown`](crate::wire::DecodeError::Unknown).
macro_rules! numbers {
    ($(#[$meta:meta])* $name:ident, $what:literal { $($(#[$doc:meta])* $variant:ident = $number:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum $name { $($(#[$doc])* $variant = $number,)* }

        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The kernel's number.
            pub const fn number(self) -> u32 {
                self as u32
            }

            /// The value with this number.
            pub const fn from_number(number: u32) -> Result<Self, $crate::wire::DecodeError> {
                match number {
                    $($number => Ok(Self::$variant),)*
                    _ => Err($crate::wire::DecodeError::Unknown { what: $what, value: number as u64 }),
                }
            }
        }
    };
}

pub(crate) use numbers;

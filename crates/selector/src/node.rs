//! The flat form of a selector: nodes in the order of the text, a parent before its operands.

/// A piece of the canonical text, or of the list of set members.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn of<T: ?Sized + std::ops::Index<std::ops::Range<usize>>>(self, whole: &T) -> &T::Output {
        &whole[self.start as usize..self.end as usize]
    }
}

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    All,
    Global,
    Has,
    Equal,
    NotEqual,
    Contains,
    StartsWith,
    EndsWith,
    In,
    NotIn,
    /// Negates its one operand.
    Not,
    /// All of its operands, two or more.
    And,
    /// Any of its operands, two or more.
    Or,
}

impl Kind {
    /// Whether it looks at labels itself rather than at operands.
    pub(crate) fn is_test(self) -> bool {
        !matches!(self, Kind::Not | Kind::And | Kind::Or)
    }

    /// The operator between a label and a value, or between operands, as canonical text has it.
    pub(crate) fn operator(self) -> &'static str {
        match self {
            Kind::All | Kind::Global | Kind::Has | Kind::Not => "",
            Kind::Equal => " == ",
            Kind::NotEqual => " != ",
            Kind::Contains => " contains ",
            Kind::StartsWith => " starts with ",
            Kind::EndsWith => " ends with ",
            Kind::In => " in ",
            Kind::NotIn => " not in ",
            Kind::And => " && ",
            Kind::Or => " || ",
        }
    }
}

/// Where to go on when the selector as a whole holds.
pub(crate) const HOLDS: u32 = u32::MAX;

/// Where to go on when the selector as a whole does not hold.
pub(crate) const FAILS: u32 = u32::MAX - 1;

/// One condition, negation or connective.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// The label's name in the text; empty where there is none.
    pub(crate) label: Span,
    /// The value in the text without its quotes; for sets, the members in the list of members.
    pub(crate) value: Span,
    /// How many operands it has.
    pub(crate) operands: u32,
    /// The index after its last operand's: where its next sibling stands.
    pub(crate) end: u32,
    /// The node to go on at when it holds, or [`HOLDS`] or [`FAILS`]. Set by `link`, as is `no`.
    pub(crate) yes: u32,
    /// The node to go on at when it does not hold. Never the same as `yes`.
    pub(crate) no: u32,
}

/// An index or offset in the flat form.
pub(crate) fn index(n: usize) -> u32 {
    u32::try_from(n).expect("selectors are limited to far less than 4 GiB")
}

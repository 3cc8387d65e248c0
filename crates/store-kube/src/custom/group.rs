//! The two groups of custom resources, and which of them a cluster uses.

use tortie_api::Kind;

/// A group of custom resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// `crd.projectcalico.org/v1`: metadata is kept in an annotation.
    Packed,
    /// `projectcalico.org/v3`: metadata is that of the custom resource.
    Native,
}

impl Group {
    /// The group that a setting names: native only for its exact name in any case, as in Calico.
    pub fn named(setting: &str) -> Group {
        if setting.eq_ignore_ascii_case(Group::Native.api_version()) { Group::Native } else { Group::Packed }
    }

    /// The group that a cluster uses which serves API groups of these names: native if it serves only that one.
    pub fn discovered<'a>(served: impl IntoIterator<Item = &'a str>) -> Group {
        let (mut native, mut packed) = (false, false);
        for name in served {
            native |= name == Group::Native.name();
            packed |= name == Group::Packed.name();
        }
        if native && !packed { Group::Native } else { Group::Packed }
    }

    /// The other one.
    pub const fn other(self) -> Group {
        match self {
            Group::Packed => Group::Native,
            Group::Native => Group::Packed,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Group::Packed => "crd.projectcalico.org",
            Group::Native => "projectcalico.org",
        }
    }

    /// Its name and version.
    pub const fn api_version(self) -> &'static str {
        match self {
            Group::Packed => "crd.projectcalico.org/v1",
            Group::Native => "projectcalico.org/v3",
        }
    }

    /// The kind and the plural that resources of this kind have here; `None` for kinds that are made of Kubernetes'
    /// own objects and are no custom resources.
    pub fn resource(self, kind: Kind) -> Option<(&'static str, &'static str)> {
        match (kind, self) {
            (Kind::WorkloadEndpoint | Kind::Profile | Kind::Node | Kind::LiveMigration, _) => None,
            (Kind::IPAMConfiguration, Group::Packed) => Some(("IPAMConfig", "ipamconfigs")),
            (kind, _) => Some((kind.name(), kind.plural())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_native_group_is_used_only_where_it_is_named_or_served_alone() {
        for (served, group) in [
            (vec![], Group::Packed),
            (vec!["apps", "projectcalico.org"], Group::Native),
            (vec!["projectcalico.org", "crd.projectcalico.org"], Group::Packed),
            (vec!["crd.projectcalico.org"], Group::Packed),
            (vec!["x.projectcalico.org"], Group::Packed),
        ] {
            assert_eq!(Group::discovered(served.iter().copied()), group, "{served:?}");
        }
        for (setting, group) in [
            ("projectcalico.org/v3", Group::Native),
            ("ProjectCalico.org/V3", Group::Native),
            ("projectcalico.org", Group::Packed),
            ("crd.projectcalico.org/v1", Group::Packed),
            ("nonsense", Group::Packed),
        ] {
            assert_eq!(Group::named(setting), group, "{setting}");
        }
    }

    #[test]
    fn only_address_managements_configuration_has_another_name_in_the_packed_group() {
        let differ = |kind: &&Kind| Group::Packed.resource(**kind) != Group::Native.resource(**kind);
        let differing: Vec<&Kind> = Kind::ALL.iter().filter(differ).collect();
        assert_eq!(differing, [&Kind::IPAMConfiguration]);
        assert_eq!(Group::Packed.resource(Kind::IPAMConfiguration), Some(("IPAMConfig", "ipamconfigs")));
        assert_eq!(Group::Native.resource(Kind::Profile), None);
    }
}

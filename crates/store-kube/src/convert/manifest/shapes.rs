//! The fields of manifests of Kubernetes' own kinds (those of Kubernetes 1.34): what else stands in a manifest is a mistake.
//!
//! What has no say in a packet's way is named, and what is in it is not looked at.

use std::sync::LazyLock;

use tortie_api::kinds::staged_kubernetes_network_policy::{EgressRule, IngressRule, LabelSelector};
use tortie_api::shape::{Form, Rules, Shape};

use super::KubernetesKind;

/// The shape of a whole object.
pub(super) fn shape(kind: KubernetesKind) -> &'static Shape {
    static POD: LazyLock<Shape> = LazyLock::new(|| object(vec![("spec", pod())], "status"));
    static NAMESPACE: LazyLock<Shape> =
        LazyLock::new(|| object(vec![("spec", record(Vec::new(), "finalizers"))], "status"));
    static ACCOUNT: LazyLock<Shape> =
        LazyLock::new(|| object(Vec::new(), "secrets imagePullSecrets automountServiceAccountToken"));
    static NODE: LazyLock<Shape> = LazyLock::new(|| object(node(), ""));
    static POLICY: LazyLock<Shape> = LazyLock::new(|| object(vec![("spec", network_policy())], ""));
    static CLUSTER_POLICY: LazyLock<Shape> = LazyLock::new(|| object(vec![("spec", cluster_policy())], "status"));
    static SLICE: LazyLock<Shape> = LazyLock::new(slice);
    static SERVICE: LazyLock<Shape> = LazyLock::new(|| object(vec![("spec", service())], "status"));
    match kind {
        KubernetesKind::Pod => &POD,
        KubernetesKind::Namespace => &NAMESPACE,
        KubernetesKind::ServiceAccount => &ACCOUNT,
        KubernetesKind::Node => &NODE,
        KubernetesKind::NetworkPolicy => &POLICY,
        KubernetesKind::ClusterNetworkPolicy => &CLUSTER_POLICY,
        KubernetesKind::EndpointSlice => &SLICE,
        KubernetesKind::Service => &SERVICE,
    }
}

fn pod() -> Shape {
    let containers = || {
        let port = record(
            vec![
                ("name", text()),
                ("hostPort", port()),
                ("containerPort", port()),
                ("protocol", text()),
                ("hostIP", text()),
            ],
            "",
        );
        list(record(
            vec![("ports", list(port))],
            "name image command args workingDir envFrom env resources resizePolicy restartPolicy restartPolicyRules \
             volumeMounts volumeDevices livenessProbe readinessProbe startupProbe lifecycle terminationMessagePath \
             terminationMessagePolicy imagePullPolicy securityContext stdin stdinOnce tty",
        ))
    };
    record(
        vec![
            ("nodeName", text()),
            ("hostNetwork", flag()),
            ("serviceAccountName", text()),
            ("serviceAccount", text()),
            ("containers", containers()),
            ("initContainers", containers()),
        ],
        "volumes ephemeralContainers restartPolicy terminationGracePeriodSeconds activeDeadlineSeconds dnsPolicy nodeSelector \
         automountServiceAccountToken hostPID hostIPC shareProcessNamespace securityContext imagePullSecrets hostname \
         subdomain affinity schedulerName tolerations hostAliases priorityClassName priority dnsConfig readinessGates \
         runtimeClassName enableServiceLinks preemptionPolicy overhead topologySpreadConstraints setHostnameAsFQDN os \
         hostUsers schedulingGates resourceClaims resources hostnameOverride",
    )
}

fn node() -> Vec<(&'static str, Shape)> {
    let spec = record(
        vec![("podCIDR", text()), ("podCIDRs", list(text()))],
        "providerID unschedulable taints configSource externalID",
    );
    let status = record(
        vec![("addresses", list(record(vec![("type", text()), ("address", text())], "")))],
        "capacity allocatable phase conditions daemonEndpoints nodeInfo images volumesInUse volumesAttached config \
         runtimeHandlers features",
    );
    vec![("spec", spec), ("status", status)]
}

fn network_policy() -> Shape {
    record(
        vec![
            ("podSelector", Shape::of::<LabelSelector>()),
            ("ingress", list(Shape::of::<IngressRule>())),
            ("egress", list(Shape::of::<EgressRule>())),
            ("policyTypes", list(text())),
        ],
        "",
    )
}

fn cluster_policy() -> Shape {
    let pods = |more: Vec<(&str, Shape)>| {
        let selectors =
            vec![("namespaceSelector", Shape::of::<LabelSelector>()), ("podSelector", Shape::of::<LabelSelector>())];
        let both = vec![("namespaces", Shape::of::<LabelSelector>()), ("pods", record(selectors, ""))];
        record(both.into_iter().chain(more).collect(), "")
    };
    let ports = || {
        let range = record(vec![("start", port()), ("end", port())], "");
        let one = record(vec![("number", port()), ("range", range)], "");
        record(vec![("destinationPort", one)], "")
    };
    let protocols = || {
        let named = ("destinationNamedPort", text());
        list(record(vec![("tcp", ports()), ("udp", ports()), ("sctp", ports()), named], ""))
    };
    let rule = |peers| list(record(vec![("name", text()), ("action", text()), peers, ("protocols", protocols())], ""));
    let others = vec![("networks", list(text())), ("nodes", any()), ("domainNames", any())];
    record(
        vec![
            ("tier", text()),
            ("priority", Shape::plain(Form::Int)),
            ("subject", pods(Vec::new())),
            ("ingress", rule(("from", list(pods(Vec::new()))))),
            ("egress", rule(("to", list(pods(others))))),
        ],
        "",
    )
}

fn slice() -> Shape {
    let fields = vec![("addresses", list(text())), ("nodeName", text())];
    let endpoint = record(fields, "conditions hostname targetRef zone hints deprecatedTopology");
    // An API server takes every number.
    let number = Shape {
        rules: Rules { holds: Some((i32::MIN.into(), i32::MAX.into())), ..Rules::default() },
        ..Shape::plain(Form::Int)
    };
    let port = record(vec![("name", text()), ("protocol", text()), ("port", number)], "appProtocol");
    object(vec![("addressType", text()), ("endpoints", list(endpoint)), ("ports", list(port))], "")
}

fn service() -> Shape {
    let numbers = vec![("name", text()), ("port", port()), ("nodePort", port()), ("protocol", text())];
    let port = record(numbers, "appProtocol targetPort");
    record(
        vec![
            ("ports", list(port)),
            ("selector", map()),
            ("clusterIP", text()),
            ("clusterIPs", list(text())),
            ("externalIPs", list(text())),
            ("type", text()),
            ("externalTrafficPolicy", text()),
            ("internalTrafficPolicy", text()),
            ("loadBalancerSourceRanges", list(text())),
        ],
        "sessionAffinity loadBalancerIP externalName healthCheckNodePort publishNotReadyAddresses sessionAffinityConfig \
         ipFamilies ipFamilyPolicy allocateLoadBalancerNodePorts loadBalancerClass trafficDistribution",
    )
}

/// An object with these fields beside its metadata; those named in `others` may hold anything.
fn object(fields: Vec<(&str, Shape)>, others: &str) -> Shape {
    let metadata = record(
        vec![
            ("name", text()),
            ("generateName", text()),
            ("namespace", text()),
            ("uid", text()),
            ("resourceVersion", text()),
            ("creationTimestamp", Shape::plain(Form::Special("time".to_owned()))),
            ("deletionTimestamp", Shape::plain(Form::Special("time".to_owned()))),
            ("labels", map()),
            ("annotations", map()),
        ],
        "selfLink generation deletionGracePeriodSeconds ownerReferences finalizers managedFields",
    );
    let own = vec![("apiVersion", text()), ("kind", text()), ("metadata", metadata)];
    record(own.into_iter().chain(fields).collect(), others)
}

fn record(fields: Vec<(&str, Shape)>, others: &str) -> Shape {
    Shape::of_fields(fields.into_iter().chain(others.split_whitespace().map(|name| (name, any()))))
}

fn list(item: Shape) -> Shape {
    Shape::plain(Form::List(Box::new(item)))
}

fn map() -> Shape {
    Shape::plain(Form::Map(Box::new(text())))
}

fn text() -> Shape {
    Shape::plain(Form::Text)
}

fn flag() -> Shape {
    Shape::plain(Form::Bool)
}

fn any() -> Shape {
    Shape::plain(Form::Any)
}

fn port() -> Shape {
    Shape { rules: Rules { holds: Some((0, u16::MAX.into())), ..Rules::default() }, ..Shape::plain(Form::Int) }
}

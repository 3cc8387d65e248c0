//! Previews refuse the manifests of Kubernetes' own kinds that kubectl refuses: each of a table is given to both, to a real API
//! server as `kubectl create --dry-run=server`.

use tortie_manifest::Problem;
use tortie_manifest::read::{Source, read};
use tortie_store_kube::convert::manifest::strictly;
use tortie_testkit::kubernetes::{ADMIN, ApiServer};

/// Specs of NetworkPolicies.
const POLICIES: &[&str] = &[
    "{podSelector: {}}",
    "{}",
    "null",
    "7",
    "{podSelektor: {}}",
    "{podselector: {}}",
    "{podSelector: {matchLabels: {app: 1}}}",
    "{podSelector: {matchLabels: {app: -a}}}",
    "{podSelector: {matchLabels: {a b: a}}}",
    "{podSelector: {matchLabels: {example.com/a: 'a'}}}",
    "{podSelector: {matchExpressions: [{key: app, operator: In, values: [a]}]}}",
    "{podSelector: {matchExpressions: [{key: app, operator: in, values: [a]}]}}",
    "{podSelector: {matchExpressions: [{key: app, operator: In}]}}",
    "{podSelector: {matchExpressions: [{key: app, operator: Exists}]}}",
    "{podSelector: {matchExpressions: [{key: app, operator: Exists, values: [a]}]}}",
    "{podSelector: {matchExpressions: [{operator: Exists}]}}",
    "{podSelector: {}, policyTypes: [ingress]}",
    "{podSelector: {}, policyTypes: [Ingress, Egress]}",
    "{podSelector: {}, policyTypes: Ingress}",
    "{podSelector: {}, ingress: [{}]}",
    "{podSelector: {}, ingress: [null]}",
    "{podSelector: {}, ingress: [[]]}",
    "{podSelector: {}, ingress: {}}",
    "{podSelector: {}, ingress: [{form: []}]}",
    "{podSelector: {}, ingress: [{to: []}]}",
    "{podSelector: {}, ingress: [{from: [{}]}]}",
    "{podSelector: {}, ingress: [{from: [{podSelector: {}, namespaceSelector: {}}]}]}",
    "{podSelector: {}, ingress: [{from: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}]}",
    "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]}]}",
    "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.1.0.0/16]}}]}]}",
    "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]}]}",
    "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [0.0.0.0/0]}}]}]}",
    "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, exept: [10.1.0.0/16]}}]}]}",
    "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.1}}]}]}",
    "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.1/8}}]}]}",
    "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: nowhere}}]}]}",
    "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 010.0.0.0/8}}]}]}",
    "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 010.0.0.0/08}}]}]}",
    "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.00.0.0/8, except: [010.065.0.0/16]}}]}]}",
    "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 000.0.0.0/0, except: [010.065.0.0/16]}}]}]}",
    "{podSelector: {}, ingress: [{from: [{ipBlock: {}}]}]}",
    "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 'fd00::/8', except: ['fd00:1::/32']}}]}]}",
    "{podSelector: {}, ingress: [{ports: [{portt: 1}]}]}",
    "{podSelector: {}, ingress: [{ports: [{}]}]}",
    "{podSelector: {}, ingress: [{ports: [{port: 0}]}]}",
    "{podSelector: {}, ingress: [{ports: [{port: 70000}]}]}",
    "{podSelector: {}, ingress: [{ports: [{port: http}]}]}",
    "{podSelector: {}, ingress: [{ports: [{port: '80'}]}]}",
    "{podSelector: {}, ingress: [{ports: [{port: ''}]}]}",
    "{podSelector: {}, ingress: [{ports: [{port: a-name-that-is-too-long}]}]}",
    "{podSelector: {}, ingress: [{ports: [{port: 80, endPort: 90}]}]}",
    "{podSelector: {}, ingress: [{ports: [{port: 80, endPort: 70}]}]}",
    "{podSelector: {}, ingress: [{ports: [{port: http, endPort: 90}]}]}",
    "{podSelector: {}, ingress: [{ports: [{endPort: 90}]}]}",
    "{podSelector: {}, ingress: [{ports: [{protocol: tcp}]}]}",
    "{podSelector: {}, ingress: [{ports: [{protocol: ICMP}]}]}",
    "{podSelector: {}, ingress: [{ports: [{protocol: SCTP}]}]}",
    "{podSelector: {}, egress: [{to: [{namespaceSelector: {matchLabels: {a: b}}}], ports: [{protocol: UDP, port: 53}]}]}",
    "{podSelector: {}, egress: [{from: []}]}",
];

/// Other objects.
const OBJECTS: &[&str] = &[
    "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: A}}",
    "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {}}",
    "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a}, status: {}}",
    "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a, lables: {}}}",
    "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a, labels: {a: 'b c'}}}",
    "{apiVersion: v1, kind: Namespace, metadata: {name: a}}",
    "{apiVersion: v1, kind: Namespace, metadata: {name: a.b}}",
    "{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {a: true}}}",
    "{apiVersion: v1, kind: ServiceAccount, metadata: {name: a}, secret: []}",
    "{apiVersion: v1, kind: Node, metadata: {name: a, labels: {a: b}}}",
    "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a}}",
    "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a}, spec: null}",
    "{apiVersion: v1, kind: Node, metadata: {name: a}, spec: {podCIDR: 10.0.0.0/24, podCIDRs: [10.0.0.0/24]}}",
    "{apiVersion: v1, kind: Node, metadata: {name: a}, spec: {podCIDR: x, podCIDRs: [x]}}",
    "{apiVersion: v1, kind: Node, metadata: {name: a}, spec: {podCidr: 10.0.0.0/24}}",
    "{apiVersion: v1, kind: Node, metadata: {name: a}, status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}}",
    "{apiVersion: v1, kind: Node, metadata: {name: a}, status: {addresses: [{kind: InternalIP, address: 192.0.2.1}]}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: 7}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}]}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80, protocol: tcp}]}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}], clusterIp: 10.0.0.10}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}], externalIPs: [x]}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}], type: Clusterip}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}], clusterIP: None}}",
    "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a}, addressType: IPv9, endpoints: []}",
    "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a}, endpoints: []}",
    "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a}, addressType: IPv4, endpoints: []}",
    "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a}, addressType: IPv4, endpoints: [{addresses: [x]}]}",
    "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a}, addressType: IPv4, endpoints: [{addresses: ['fd00::1']}]}",
    "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a}, addressType: IPv4, endpoints: [{addresses: [10.0.0.1]}]}",
    "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a}, addressType: IPv4, endpoints: [{}]}",
    "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a}, addressType: IPv4, endpoints: [], ports: [{protocol: tcp}]}",
    "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: i, ports: [{containerPort: 80}]}]}}",
    "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: i, ports: [{containerPort: 0}]}]}}",
    "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: i, ports: [{containerPort: 70000}]}]}}",
    "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: i, ports: [{containerPort: 80, hostIP: x}]}]}}",
    "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: i, port: []}]}}",
    "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {hostNetwrok: true, containers: [{name: c, image: i}]}}",
    "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {hostNetwork: 'yes', containers: [{name: c, image: i}]}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 0}]}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: []}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: None}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {type: ExternalName, externalName: a.example}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}, {port: 81}]}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80, name: b}, {port: 81, name: b}]}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80, name: b}, {port: 81, name: c}]}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80, name: b}, {port: 80, name: c}]}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80, name: b}, {port: 80, name: c, protocol: UDP}]}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80, name: B}]}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80, nodePort: 30080}]}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {type: NodePort, ports: [{port: 80, nodePort: 30080}]}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}], externalTrafficPolicy: Local}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}], externalTrafficPolicy: Local, externalIPs: [192.0.2.7]}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {type: NodePort, ports: [{port: 80}], externalTrafficPolicy: local}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {type: LoadBalancer, ports: [{port: 80}], loadBalancerSourceRanges: [x]}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {type: LoadBalancer, ports: [{port: 80}], loadBalancerSourceRanges: [10.0.0.0/8]}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}], loadBalancerSourceRanges: [10.0.0.0/8]}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}], internalTrafficPolicy: Foo}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}], internalTrafficPolicy: Local}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}], externalIPs: [127.0.0.1]}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}], externalIPs: [None]}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80, targetPort: 70000}]}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80, targetPort: '80'}]}}",
    "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80, targetPort: web}]}}",
    "{apiVersion: v1, kind: Service, metadata: {name: 1sv}, spec: {ports: [{port: 80}]}}",
    "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a}, addressType: IPv4, endpoints: [{addresses: [127.0.0.1]}]}",
    "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a}, addressType: IPv4, endpoints: [{addresses: [169.254.1.1]}]}",
    "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a}, addressType: IPv4, endpoints: [{addresses: [10.0.0.1], nodeName: 'x y'}]}",
    "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a}, addressType: IPv4, endpoints: [{addresses: [10.0.0.1], nodeName: n1}]}",
    "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a}, addressType: IPv4, endpoints: [], ports: [{name: a, port: 1}, {name: a, port: 2}]}",
    "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a}, addressType: IPv4, endpoints: [], ports: [{port: 1}, {port: 2}]}",
    "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a}, addressType: IPv4, endpoints: [], ports: [{name: a, port: 1}, {port: 2}]}",
    "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a}, addressType: IPv4, endpoints: [], ports: [{name: A, port: 1}]}",
    "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a}, addressType: IPv4, endpoints: [], ports: [{port: 70000}]}",
    "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a}, addressType: IPv4, endpoints: [], ports: [{port: -1}]}",
    "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: i, ports: [{containerPort: 80, name: '80'}]}]}}",
    "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: i, ports: [{containerPort: 80, name: A}]}]}}",
    "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: i, ports: [{containerPort: 80, name: a}]}]}}",
    "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: i, ports: [{containerPort: 80, name: a-name-too-long-x}]}]}}",
    "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: i, ports: [{containerPort: 80, name: a}, {containerPort: 81, name: a}]}]}}",
    "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: i, ports: [{containerPort: 80, hostPort: 80}, {containerPort: 81, hostPort: 80}]}]}}",
    "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: i, ports: [{containerPort: 80, hostPort: 80}, {containerPort: 81, hostPort: 80, protocol: UDP}]}]}}",
    "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {hostNetwork: true, containers: [{name: c, image: i, ports: [{containerPort: 80, hostPort: 81}]}]}}",
    "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {hostNetwork: true, containers: [{name: c, image: i, ports: [{containerPort: 80, hostPort: 80}]}]}}",
    "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {hostNetwork: true, containers: [{name: c, image: i, ports: [{containerPort: 80}]}]}}",
    "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {serviceAccountName: Bad_Name, containers: [{name: c, image: i, ports: []}]}}",
    "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {nodeName: 'x y', containers: [{name: c, image: i, ports: []}]}}",
    "{apiVersion: v1, kind: Namespace, metadata: {name: a, annotations: {a b: c}}}",
    "{apiVersion: v1, kind: Namespace, metadata: {name: a, annotations: {Example.org/A: c}}}",
];

/// What a preview finds wrong.
fn problems(manifest: &str) -> Vec<String> {
    let source = Source::new("manifest", manifest);
    let mut located = read(&source);
    assert_eq!(located.len(), 1, "{manifest}");
    strictly(&mut located[0], &source);
    located[0].problems.iter().filter(|it| it.is_error()).map(Problem::text).map(str::to_owned).collect()
}

#[test]
fn a_preview_refuses_the_manifests_that_kubectl_refuses_and_no_others() {
    let server = ApiServer::start();
    // A pod needs it.
    server.kubectl(&["create", "serviceaccount", "default"], "");
    let policies = POLICIES.iter().map(|spec| {
        format!("{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: a}}, spec: {spec}}}")
    });
    let mut different = Vec::new();
    for manifest in policies.chain(OBJECTS.iter().map(|object| (*object).to_owned())) {
        let ours = problems(&manifest);
        let output = server.kubectl_as(ADMIN, &["create", "--dry-run=server", "-f", "-"], &manifest);
        if output.status.success() != ours.is_empty() {
            let theirs = String::from_utf8_lossy(&output.stderr).into_owned();
            different.push(format!("{manifest}\n  kubectl: {theirs}\n  preview: {ours:?}"));
        }
        let types = ["u16", "u32", "i64", "expected", "struct", "int32"];
        let told = ours.iter().find(|text| types.iter().any(|name| text.contains(name)));
        assert_eq!(told, None, "a message names a type of the program: {manifest}");
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

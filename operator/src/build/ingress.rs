//! The Ingresses by which a managed store is reached from outside. All of them but the host is the installing person's choice.

use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend,
    IngressSpec, IngressTLS, ServiceBackendPort,
};
use zonetide_crds::ExposedHost;

use super::metadata;
use crate::{
    names::Part,
    reconcile::{
        expose::Exposed,
        plan::{Plan, StorePlan},
    },
};

/// One for each host that is exposed.
pub fn ingresses(plan: &Plan) -> Vec<Ingress> {
    let (part, service) = match plan.store {
        StorePlan::Garage { .. } => (Part::Garage, plan.names.garage()),
        StorePlan::Minio { .. } => (Part::Minio, plan.names.minio()),
        _ => return Vec::new(),
    };
    let hosts = plan.exposure.hosts.iter();
    hosts
        .map(|(exposed, host)| ingress(plan, part, &service, *exposed, host))
        .collect()
}

fn ingress(plan: &Plan, part: Part, service: &str, exposed: Exposed, host: &ExposedHost) -> Ingress {
    let settings = &plan.settings.expose;
    let mut metadata = metadata(plan, part, plan.names.ingress(exposed.port()));
    metadata.annotations = (!settings.annotations.is_empty()).then(|| settings.annotations.clone());
    let tls = host.tls_secret_name.as_ref().map(|secret| {
        vec![IngressTLS {
            hosts: Some(vec![host.host.clone()]),
            secret_name: Some(secret.clone()),
        }]
    });
    Ingress {
        metadata,
        spec: Some(IngressSpec {
            ingress_class_name: settings.ingress_class.clone(),
            rules: Some(vec![IngressRule {
                host: Some(host.host.clone()),
                http: Some(HTTPIngressRuleValue {
                    paths: vec![HTTPIngressPath {
                        path: Some("/".to_owned()),
                        path_type: "Prefix".to_owned(),
                        backend: backend(service, exposed.port()),
                    }],
                }),
            }]),
            tls,
            ..IngressSpec::default()
        }),
        ..Ingress::default()
    }
}

fn backend(service: &str, port: &str) -> IngressBackend {
    IngressBackend {
        service: Some(IngressServiceBackend {
            name: service.to_owned(),
            port: Some(ServiceBackendPort {
                name: Some(port.to_owned()),
                ..ServiceBackendPort::default()
            }),
        }),
        ..IngressBackend::default()
    }
}

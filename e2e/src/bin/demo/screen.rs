//! The demo's last screen: what was proven, and the commands to go on with.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use zonetide_crds::DnsCluster;
use zonetide_e2e::{Handle, names};
use zonetide_testbed::tools;

use crate::proof::Proof;

pub(crate) struct Facts {
    namespace: String,
    name: String,
    replicas: i32,
    bucket: String,
    proof: Proof,
    kubeconfig: String,
    /// A directory with kubectl, when it is not in the PATH already.
    kubectl: Option<String>,
}

impl Facts {
    pub(crate) fn new(cluster: &Handle, ready: &DnsCluster, proof: Proof, kubeconfig: String) -> Self {
        let store = ready
            .status
            .as_ref()
            .and_then(|status| status.object_store.clone())
            .unwrap_or_default();
        Self {
            namespace: cluster.namespace.clone(),
            name: cluster.name.clone(),
            replicas: ready.spec.replicas,
            bucket: format!("bucket {} at {}", store.bucket, store.endpoint),
            proof,
            kubeconfig,
            kubectl: kubectl_outside_path(),
        }
    }
}

fn kubectl_outside_path() -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|dir| dir.join("kubectl").exists()) {
        return None;
    }
    let dir = tools::cache().join("bin");
    dir.join("kubectl").exists().then(|| dir.display().to_string())
}

pub(crate) fn render(facts: &Facts) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = write_proof(&mut text, facts).and_then(|()| write_commands(&mut text, facts));
    text
}

fn write_proof(text: &mut String, facts: &Facts) -> std::fmt::Result {
    let Facts {
        name,
        replicas,
        bucket,
        proof,
        ..
    } = facts;
    writeln!(
        text,
        "\nDnsCluster {name} is ready: {replicas} servers, {bucket}\n"
    )?;
    writeln!(
        text,
        "{} A {} was written on {}. Answers over DNS:\n",
        proof.name, proof.address, proof.written_on
    )?;
    let mut rows = vec![["SERVER", "ANSWER", "AFTER THE WRITE", "QUERY TOOK"].map(str::to_owned)];
    for seen in &proof.seen {
        rows.push([
            seen.pod.clone(),
            seen.answer.clone(),
            human(seen.after),
            human(seen.took),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3)];
    for row in &rows {
        let [a, b, c, d] = widths;
        writeln!(
            text,
            "  {:<a$}   {:<b$}   {:>c$}   {:>d$}",
            row[0], row[1], row[2], row[3]
        )?;
    }
    Ok(())
}

fn write_commands(text: &mut String, facts: &Facts) -> std::fmt::Result {
    let name = &facts.name;
    let kubectl = match facts.namespace.as_str() {
        "default" => "kubectl".to_owned(),
        namespace => format!("kubectl -n {namespace}"),
    };
    let (secret, api) = (names::api_key_secret(name), names::api_service(name));
    let server = facts
        .proof
        .seen
        .last()
        .map_or_else(|| format!("{name}-0"), |seen| seen.pod.clone());
    writeln!(text, "\nGo on with\n")?;
    if let Some(dir) = &facts.kubectl {
        writeln!(text, "  export PATH=$PATH:{dir}")?;
    }
    writeln!(
        text,
        "  export KUBECONFIG={}",
        Path::new(&facts.kubeconfig).display()
    )?;
    writeln!(text, "  {kubectl} get dnscluster {name} -o wide")?;
    writeln!(text, "  {kubectl} describe dnscluster {name}")?;
    writeln!(text, "\n  # the PowerDNS API and its key")?;
    writeln!(
        text,
        "  {kubectl} port-forward service/{api} {0}:{0} &",
        names::API_PORT
    )?;
    writeln!(
        text,
        "  KEY=$({kubectl} get secret {secret} -o jsonpath='{{.data.api-key}}' | base64 -d)"
    )?;
    writeln!(
        text,
        "  curl -H \"X-API-Key: $KEY\" http://127.0.0.1:{}/api/v1/servers/localhost/zones",
        names::API_PORT
    )?;
    writeln!(
        text,
        "\n  # ask one server yourself (a port-forward carries TCP only)"
    )?;
    writeln!(
        text,
        "  {kubectl} port-forward pod/{server} {0}:{0} &",
        names::DNS_PORT
    )?;
    writeln!(
        text,
        "  dig +tcp @127.0.0.1 -p {} {} A",
        names::DNS_PORT,
        facts.proof.name
    )?;
    writeln!(text, "\n  # a third server, and the end")?;
    writeln!(text, "  {kubectl} scale dnscluster {name} --replicas=3")?;
    writeln!(text, "  make demo-down")
}

fn human(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis < 1000 {
        format!("{millis} ms")
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zonetide_e2e::answers::Seen;

    fn facts(namespace: &str) -> Facts {
        let seen = |pod: &str, after| Seen {
            pod: pod.to_owned(),
            answer: "192.0.2.7".to_owned(),
            after: Duration::from_millis(after),
            took: Duration::from_millis(3),
        };
        Facts {
            namespace: namespace.to_owned(),
            name: "example".to_owned(),
            replicas: 2,
            bucket: "bucket zones at http://store:3900".to_owned(),
            proof: Proof {
                name: "www.example.org.",
                address: "192.0.2.7".to_owned(),
                written_on: "example-0".to_owned(),
                seen: vec![seen("example-0", 14), seen("example-1", 1840)],
            },
            kubeconfig: "/tmp/admin.conf".to_owned(),
            kubectl: None,
        }
    }

    #[test]
    fn the_table_lines_up_and_each_command_is_whole() {
        let text = render(&facts("default"));
        assert!(
            text.contains("  example-0   192.0.2.7             14 ms         3 ms\n"),
            "{text}"
        );
        assert!(
            text.contains("  example-1   192.0.2.7             1.8 s         3 ms\n"),
            "{text}"
        );
        assert!(
            text.contains("  kubectl get dnscluster example -o wide\n"),
            "{text}"
        );
        assert!(text.contains("{.data.api-key}"), "{text}");
        assert!(text.ends_with("  make demo-down\n"), "{text}");
    }

    #[test]
    fn a_namespace_of_ones_own_is_in_every_command() {
        let text = render(&facts("dns"));
        assert!(
            text.lines()
                .filter(|line| line.contains("kubectl"))
                .all(|line| line.contains("-n dns")),
            "{text}"
        );
    }
}

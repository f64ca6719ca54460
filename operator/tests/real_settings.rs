//! What the operator writes into pdns.conf, read by the PowerDNS that runs it, in both versions.

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use k8s_openapi::{ByteString, api::core::v1::Secret};
    use serde_json::json;
    use zonetide_crds::{DnsCluster, misread};
    use zonetide_operator::{
        build, names,
        reconcile::{
            fetch::{Fetched, Secrets},
            refusals::Refusals,
            validate::validate,
        },
        settings::{ExposeSettings, PowerDnsImages, Settings},
    };
    use zonetide_testbed::Version;

    const VERSIONS: [Version; 2] = [Version::V4, Version::V5];
    /// Sorted before `include-dir`, so that a value which joins the next line takes it.
    const SETTING: &str = "dnsupdate";
    const API_KEY: &str = "correct-horse#battery=staple+\\x";

    /// pdns.conf and the file with the API key, as the operator writes them for this value.
    fn written(value: &str) -> (String, String) {
        let cluster: DnsCluster = serde_json::from_value(json!({
            "apiVersion": "zonetide.dev/v1alpha1", "kind": "DnsCluster",
            "metadata": {"name": "tide", "namespace": "shore", "uid": "u", "generation": 1},
            "spec": {"objectStore": {"managed": {}}, "powerdns": {"config": {SETTING: value}}},
        }))
        .unwrap();
        let api_key = ByteString(API_KEY.as_bytes().to_vec());
        let fetched = Fetched {
            cluster,
            kubernetes_uid: "0a1b2c3d-4e5f".into(),
            pods: vec![],
            store_pods: vec![],
            stateful_set: None,
            store_stateful_set: None,
            claims: vec![],
            unknown_claim: None,
            api_endpoints: None,
            refusals: Refusals::default(),
            secrets: Secrets {
                api_key: Some(Secret {
                    data: Some([(names::API_KEY.to_owned(), api_key)].into()),
                    ..Secret::default()
                }),
                ..Secrets::default()
            },
            taken: None,
        };
        let settings = Settings {
            agent_image: "agent".into(),
            powerdns_images: PowerDnsImages {
                v5_1: "powerdns".into(),
                v4_9: "powerdns".into(),
            },
            garage_image: "garage".into(),
            cloudflare_api: String::new(),
            minio_image: "minio".into(),
            image_pull_policy: None,
            ipv6_first: false,
            kubelet_sleeps: true,
            expose: ExposeSettings::default(),
            store_proxy: None,
        };
        let plan = validate(&fetched, &settings).unwrap();
        let servers = build::servers(&plan, plan.servers.as_ref().unwrap(), 0);
        let api_conf = servers.api_key.data.unwrap().remove(names::API_CONF).unwrap();
        (
            servers.config.data.unwrap().remove("pdns.conf").unwrap(),
            String::from_utf8(api_conf.0).unwrap(),
        )
    }

    /// The settings that PowerDNS has read from there: `NAME=VALUE` each, with a line break before and after it.
    fn read(version: Version, pdns_conf: &str, api_conf: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let api_dir = dir.path().join("api");
        fs::create_dir(&api_dir).unwrap();
        fs::write(api_dir.join(names::API_CONF), api_conf).unwrap();
        let pdns_conf = with_include_dir(pdns_conf, &api_dir);
        fs::write(dir.path().join("pdns.conf"), pdns_conf).unwrap();
        let mut command = version.pdns_server();
        command.arg(format!("--config-dir={}", dir.path().display()));
        let output = command.arg("--config=diff").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        format!("\n{}\n", String::from_utf8(output.stdout).unwrap())
    }

    /// With the folder of this machine in the place of the pod's.
    fn with_include_dir(pdns_conf: &str, dir: &Path) -> String {
        let theirs = pdns_conf.lines().find(|line| line.starts_with("include-dir="));
        pdns_conf.replace(theirs.unwrap(), &format!("include-dir={}", dir.display()))
    }

    fn has(settings: &str, line: &str) -> bool {
        settings.contains(&format!("\n{line}\n"))
    }

    #[test]
    fn every_value_that_is_accepted_is_read_as_written_and_so_is_the_api_key() {
        for value in [
            "yes, please",
            "10.0.0.0/8, fd00::/8",
            "a\tb",
            "a\\b",
            "#1",
            "served by#1",
            "a#1 #2",
            "a=b",
            "a + b",
            "für alle",
        ] {
            assert_eq!(misread(value), None, "{value:?}");
            let (pdns_conf, api_conf) = written(value);
            for version in VERSIONS {
                let settings = read(version, &pdns_conf, &api_conf);
                for line in [format!("{SETTING}={value}"), format!("api-key={API_KEY}")] {
                    assert!(has(&settings, &line), "{version:?} {line:?}: {settings}");
                }
            }
        }
    }

    #[test]
    fn every_value_that_is_refused_would_be_read_otherwise() {
        let (pdns_conf, api_conf) = written("value");
        let line = format!("{SETTING}=value\n");
        assert!(pdns_conf.contains(&line), "{pdns_conf}");
        for value in [
            "a\nb",
            "a\r",
            "a\u{b}",
            " a",
            "a\t",
            "yes\\",
            "served by #1",
            "a\t#1",
            "a+=b",
        ] {
            assert!(misread(value).is_some(), "{value:?}");
            let pdns_conf = pdns_conf.replace(&line, &format!("{SETTING}={value}\n"));
            for version in VERSIONS {
                let settings = read(version, &pdns_conf, &api_conf);
                assert!(
                    !has(&settings, &format!("{SETTING}={value}")),
                    "{version:?} {value:?}: {settings}"
                );
            }
        }
    }

    /// What this is about: every request to the API was answered with 401, on servers that were ready.
    #[test]
    fn a_backslash_at_the_end_would_take_the_api_key_away() {
        let (pdns_conf, api_conf) = written("yes");
        let joined = pdns_conf.replace("dnsupdate=yes", "dnsupdate=yes\\");
        for version in VERSIONS {
            assert!(read(version, &pdns_conf, &api_conf).contains("\napi-key="));
            assert!(!read(version, &joined, &api_conf).contains("\napi-key="));
        }
    }
}

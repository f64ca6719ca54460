use super::*;
use crate::testing::S3;

#[test]
fn the_agent_gets_the_stores_authority_and_reads_it_again_and_nothing_else_of_that_secret() {
    let spec = S3.replace("http://", "https://").replace(
        "bucket: crater",
        "bucket: crater, caSecretRef: {name: moon-ca, key: root.pem}",
    );
    let resources = built_servers(&plan(&spec));
    let pod = resources
        .stateful_set
        .spec
        .as_ref()
        .unwrap()
        .template
        .spec
        .clone()
        .unwrap();
    assert_restricted(&pod);
    let volumes = pod.volumes.as_ref().unwrap();
    let volume = volumes.iter().find(|volume| volume.name == "store-ca").unwrap();
    let secret = volume.secret.as_ref().unwrap();
    assert_eq!(secret.secret_name.as_deref(), Some("moon-ca"));
    let items = secret.items.as_ref().unwrap();
    assert_eq!(items.len(), 1);
    assert_eq!(items[0].key, "root.pem");
    let mounts = agent_of(&pod).volume_mounts.as_ref().unwrap();
    let mount = mounts.iter().find(|mount| mount.name == "store-ca").unwrap();
    let config: serde_json::Value = serde_saphyr::from_str(&file(&resources, "agent.yaml")).unwrap();
    let path = format!("{}/{}", mount.mount_path, items[0].path);
    assert_eq!(
        config["storage"]["options"]["tls"],
        serde_json::json!({"ca_file": path, "watch_certs": true})
    );
    let without = file(&built_servers(&plan(S3)), "agent.yaml");
    let config: serde_json::Value = serde_saphyr::from_str(&without).unwrap();
    assert!(config["storage"]["options"]["tls"].is_null());
}

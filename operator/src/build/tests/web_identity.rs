use super::*;

const WEB_IDENTITY: &str = "{objectStore: {s3: {endpoint: 'https://s3.test', region: moon, bucket: crater, credentials: {webIdentity: {\
    serviceAccountAnnotations: {moon.test/role: dns}, roleArn: 'arn:aws:iam::1:role/dns', stsEndpoint: 'https://sts.test/'}}}}}";

#[test]
fn a_service_account_that_is_trusted_has_its_annotations_and_a_token_for_the_sts_in_place_of_keys() {
    let resources = built_servers(&plan(WEB_IDENTITY));
    let annotations = resources.service_account.metadata.annotations.as_ref().unwrap();
    assert_eq!(annotations["moon.test/role"], "dns");
    assert_eq!(
        resources.service_account.automount_service_account_token,
        Some(false)
    );
    let config: serde_json::Value = serde_saphyr::from_str(&file(&resources, "agent.yaml")).unwrap();
    let options = config["storage"]["options"].to_string();
    assert!(
        !options.contains("key_file") && !options.contains("secret_key"),
        "{options}"
    );

    let pod = resources.stateful_set.spec.unwrap().template.spec.unwrap();
    assert_restricted(&pod);
    let volumes = pod.volumes.as_ref().unwrap();
    let volume = volumes.iter().find(|volume| volume.projected.is_some()).unwrap();
    let sources = volume.projected.as_ref().unwrap().sources.as_ref().unwrap();
    let token = sources[0].service_account_token.as_ref().unwrap();
    assert_eq!(
        (token.audience.as_deref(), token.expiration_seconds),
        (Some("sts.amazonaws.com"), Some(3600))
    );
    let agent = agent_of(&pod);
    let mounts = agent.volume_mounts.as_ref().unwrap();
    let mount = mounts.iter().find(|mount| mount.name == volume.name).unwrap();
    let variable = |name: &str| {
        let list = agent.env.as_ref().unwrap();
        list.iter()
            .find(|variable| variable.name == name)
            .unwrap()
            .value
            .clone()
            .unwrap()
    };
    assert_eq!(
        variable("AWS_WEB_IDENTITY_TOKEN_FILE"),
        format!("{}/{}", mount.mount_path, token.path)
    );
    assert_eq!(variable("AWS_ROLE_ARN"), "arn:aws:iam::1:role/dns");
    assert_eq!(variable("AWS_REGION"), "moon");
    assert_eq!(variable("AWS_ENDPOINT_URL_STS"), "https://sts.test");
    let powerdns = pod.containers[0].volume_mounts.as_ref().unwrap();
    assert!(
        powerdns.iter().all(|mount| mount.name != volume.name),
        "PowerDNS has no use for it"
    );
}

#[test]
fn where_something_else_gives_the_token_only_the_annotations_are_made() {
    let spec = WEB_IDENTITY.replace("roleArn: 'arn:aws:iam::1:role/dns', ", "");
    let resources = built_servers(&plan(&spec));
    assert!(resources.service_account.metadata.annotations.is_some());
    let pod = resources.stateful_set.spec.unwrap().template.spec.unwrap();
    assert!(
        pod.volumes
            .as_ref()
            .unwrap()
            .iter()
            .all(|volume| volume.projected.is_none())
    );
    let environment = agent_of(&pod).env.as_ref().unwrap();
    assert!(
        environment
            .iter()
            .all(|variable| !variable.name.starts_with("AWS_"))
    );
}

#[test]
fn without_it_pods_have_no_token_and_their_account_no_annotations() {
    let resources = servers_of(S3);
    assert_eq!(resources.service_account.metadata.annotations, None);
    let pod = pod_of(S3);
    assert!(
        pod.volumes
            .as_ref()
            .unwrap()
            .iter()
            .all(|volume| volume.projected.is_none())
    );
}

use std::sync::Arc;

use jiff::SignedDuration;
use k8s_openapi::ByteString;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::WebPkiClientVerifier,
};
use x509_parser::certificate::X509Certificate;

use super::*;

const NAME: &str = "peers of shore/tide";
const DAY: SignedDuration = SignedDuration::from_hours(24);

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn servers(pods: &[&str]) -> Vec<Server> {
    let of = |pod: &&str| Server {
        pod: (*pod).to_owned(),
        instance: format!("moon-shore-{pod}"),
    };
    pods.iter().map(of).collect()
}

/// Those of two servers, made now.
fn made() -> PeerCertificates {
    renewed(&PeerCertificates::read(None, None), now())
}

fn renewed(before: &PeerCertificates, now: Timestamp) -> PeerCertificates {
    before
        .renewed(NAME, &servers(&["tide-0", "tide-1"]), now)
        .unwrap()
}

fn with<T>(text: &str, look: impl FnOnce(&X509Certificate<'_>) -> T) -> T {
    let der = pem::certificate(text).unwrap();
    look(&pem::parsed(&der).unwrap())
}

fn valid(text: &str) -> (Timestamp, Timestamp) {
    let time = |seconds| Timestamp::from_second(seconds).unwrap();
    with(text, |of| {
        let validity = of.validity();
        (
            time(validity.not_before.timestamp()),
            time(validity.not_after.timestamp()),
        )
    })
}

/// What TLS says of a peer's certificate.
fn is_believed(pair: &Pair, bundle: &str, now: Timestamp) -> bool {
    let mut roots = RootCertStore::empty();
    for der in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(der.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
    let der = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
    let seconds = std::time::Duration::from_secs(now.as_second().try_into().unwrap());
    let found = verifier
        .build()
        .unwrap()
        .verify_client_cert(&der, &[], UnixTime::since_unix_epoch(seconds));
    found.is_ok()
}

#[test]
fn a_certificate_names_its_instance_and_nothing_else_and_is_good_for_90_days() {
    let made = self::made();
    let pair = &made.servers["tide-1"];
    with(&pair.certificate, |of| {
        assert_eq!(of.subject().to_string(), "CN=tide-1");
        let names = of.subject_alternative_name().unwrap().unwrap();
        assert_eq!(
            format!("{:?}", names.value.general_names),
            r#"[URI("urn:zonetide:instance:moon-shore-tide-1")]"#
        );
        let purposes = of.extended_key_usage().unwrap().unwrap().value;
        assert!(purposes.server_auth && purposes.client_auth && !purposes.any);
        assert_eq!(
            of.key_usage().unwrap().unwrap().value.flags,
            1,
            "more than to sign"
        );
        assert!(!of.is_ca());
    });
    assert_eq!(valid(&pair.certificate), (now() - DAY, now() + DAY * 89));
    assert!(pair.key.expose().starts_with("-----BEGIN PRIVATE KEY-----"));
    assert_ne!(pair.key, made.servers["tide-0"].key);
}

#[test]
fn the_operators_certificate_is_good_for_a_day_to_clients_only_and_there_is_none_without_the_authority() {
    let made = self::made();
    let own = made.for_operator(NAME, now()).unwrap().unwrap();
    with(&own.certificate, |of| {
        let names = of.subject_alternative_name().unwrap().unwrap();
        assert_eq!(
            format!("{:?}", names.value.general_names),
            r#"[URI("urn:zonetide:operator:zonetide-operator")]"#
        );
        let purposes = of.extended_key_usage().unwrap().unwrap().value;
        assert!(purposes.client_auth && !purposes.server_auth && !purposes.any);
        assert!(!of.is_ca());
    });
    assert_eq!(valid(&own.certificate), (now() - DAY, now() + DAY));
    assert!(is_believed(&own, &made.believed, now()));
    let none = PeerCertificates::read(None, None);
    assert_eq!(none.for_operator(NAME, now()).unwrap(), None);
    assert_eq!(made.for_operator("peers of shore/moon", now()).unwrap(), None);
}

#[test]
fn the_authority_signs_no_other_authority_and_is_good_for_10_years() {
    let authority = made().authority;
    with(&authority.certificate, |of| {
        assert_eq!(of.subject().to_string(), "CN=peers of shore/tide");
        let constraints = of.basic_constraints().unwrap().unwrap();
        assert!(constraints.critical && constraints.value.ca);
        assert_eq!(constraints.value.path_len_constraint, Some(0));
        assert!(of.key_usage().unwrap().unwrap().value.key_cert_sign());
        of.verify_signature(None).unwrap();
    });
    assert_eq!(
        valid(&authority.certificate),
        (now() - DAY, now() + DAY * (3650 - 1))
    );
}

#[test]
fn tls_believes_a_certificate_of_ones_own_authority_while_it_lasts_and_takes_its_key() {
    let (made, other) = (self::made(), self::made());
    let pair = &made.servers["tide-0"];
    assert!(is_believed(pair, &made.believed, now()));
    assert!(
        is_believed(pair, &made.believed, now() - DAY),
        "a clock that is behind"
    );
    assert!(!is_believed(pair, &made.believed, now() + DAY * 90));
    assert!(!is_believed(pair, &other.believed, now()));

    let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(pair.key.expose().as_bytes()).unwrap();
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    rustls::sign::CertifiedKey::new(chain, key).keys_match().unwrap();
}

#[test]
fn what_is_good_stays_as_it_is() {
    let first = made();
    let again = renewed(&first, now() + DAY);
    assert_eq!(again, first);
    assert_eq!(again.changed(&first).count(), 0);
}

#[test]
fn a_certificate_with_30_days_left_is_made_anew_by_the_same_authority() {
    let first = made();
    // Each is good until a day before its 90 days are over.
    let soon = now() + DAY * 59;
    assert_eq!(renewed(&first, soon - SignedDuration::from_secs(1)), first);
    let second = renewed(&first, soon);
    assert_eq!(second.authority, first.authority);
    assert_eq!(second.believed, first.believed);
    assert_eq!(second.changed(&first).collect::<Vec<_>>(), ["tide-0", "tide-1"]);
    assert_ne!(second.servers["tide-0"].key, first.servers["tide-0"].key);
    assert!(is_believed(&second.servers["tide-0"], &first.believed, soon));
}

#[test]
fn a_certificate_of_another_instance_key_or_authority_is_made_anew() {
    let first = made();
    let mut moved = servers(&["tide-0", "tide-1"]);
    moved[1].instance = "sun-shore-tide-1".into();
    let second = first.renewed(NAME, &moved, now()).unwrap();
    assert_eq!(second.changed(&first).collect::<Vec<_>>(), ["tide-1"]);

    let mut swapped = first.clone();
    let other = first.servers["tide-1"].key.clone();
    swapped.servers.get_mut("tide-0").unwrap().key = other;
    let second = renewed(&swapped, now());
    assert_eq!(second.changed(&first).collect::<Vec<_>>(), ["tide-0"]);

    let mut foreign = first.clone();
    foreign
        .servers
        .insert("tide-0".into(), made().servers["tide-0"].clone());
    let second = renewed(&foreign, now());
    assert_eq!(second.changed(&first).collect::<Vec<_>>(), ["tide-0"]);
    assert!(is_believed(&second.servers["tide-0"], &first.believed, now()));
}

#[test]
fn what_a_clock_ahead_of_the_time_has_made_is_made_anew() {
    let ahead = renewed(&PeerCertificates::read(None, None), now() + DAY * 2);
    let second = renewed(&ahead, now());
    assert_ne!(second.authority, ahead.authority);
    assert!(is_believed(&second.servers["tide-0"], &second.believed, now()));
}

#[test]
fn a_new_server_gets_a_certificate_and_one_that_is_gone_has_none() {
    let first = made();
    let second = first
        .renewed(NAME, &servers(&["tide-0", "tide-1", "tide-2"]), now())
        .unwrap();
    assert_eq!(second.changed(&first).collect::<Vec<_>>(), ["tide-2"]);
    assert_eq!(second.authority, first.authority);
    let third = second.renewed(NAME, &servers(&["tide-0"]), now()).unwrap();
    assert_eq!(third.servers.keys().collect::<Vec<_>>(), ["tide-0"]);
    assert_eq!(third.servers["tide-0"], first.servers["tide-0"]);
}

#[test]
fn an_authority_with_less_than_a_year_is_replaced_and_still_believed() {
    let first = made();
    let late = now() + DAY * (3649 - 365);
    assert_eq!(
        renewed(&first, late - SignedDuration::from_secs(1)).authority,
        first.authority
    );
    let second = renewed(&first, late);
    assert_ne!(second.authority, first.authority);
    let bundle: Vec<&str> = pem::certificates(&second.believed).collect();
    assert_eq!(
        bundle,
        [
            second.authority.certificate.trim_end(),
            first.authority.certificate.trim_end()
        ],
        "the present one first"
    );
    // Certificates of both, while some agents have only the old ones.
    assert!(is_believed(&second.servers["tide-0"], &second.believed, late));
    let old = renewed(&first, late - DAY);
    assert!(is_believed(&old.servers["tide-0"], &second.believed, late));
    assert_eq!(renewed(&second, late), second);

    let later = now() + DAY * 3649;
    let third = renewed(&second, later);
    assert_eq!(
        third.believed, second.authority.certificate,
        "the first has ended"
    );
}

#[test]
fn at_most_three_authorities_are_believed_and_each_once() {
    let lost = |before: &PeerCertificates| {
        let without = PeerCertificates {
            authority: PeerCertificates::read(None, None).authority,
            ..before.clone()
        };
        renewed(&without, now())
    };
    let first = made();
    let second = lost(&first);
    let third = lost(&second);
    let fourth = lost(&third);
    let texts = [&fourth, &third, &second].map(|of| of.authority.certificate.as_str());
    assert_eq!(fourth.believed, texts.concat());

    let mut doubled = first.clone();
    doubled.believed = first.believed.repeat(3);
    assert_eq!(renewed(&doubled, now()).believed, first.believed);
    // Somebody took the present one out, or put one in that is no authority.
    doubled.believed = format!("# mine\n{}", first.servers["tide-0"].certificate);
    assert_eq!(renewed(&doubled, now()).believed, first.believed);
}

#[test]
fn what_cannot_be_read_is_made_anew() {
    let first = made();
    let half = &first.authority.certificate[..200];
    let cut_short = format!("{half}\n-----END CERTIFICATE-----\n");
    let leaf = first.servers["tide-0"].clone();
    for garbage in [
        "",
        "garbage",
        half,
        &cut_short,
        "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
    ] {
        let mut broken = first.clone();
        broken.authority.certificate = garbage.to_owned();
        broken.believed = garbage.to_owned();
        let second = renewed(&broken, now());
        assert_ne!(second.authority, first.authority, "{garbage}");
        assert_eq!(second.believed, second.authority.certificate, "{garbage}");
        assert!(is_believed(&second.servers["tide-0"], &second.believed, now()));

        let mut broken = first.clone();
        broken.authority.key = SecretText::new(garbage);
        assert_ne!(renewed(&broken, now()).authority, first.authority, "{garbage}");

        let mut broken = first.clone();
        broken.servers.get_mut("tide-0").unwrap().certificate = garbage.to_owned();
        broken.servers.get_mut("tide-1").unwrap().key = SecretText::new(garbage);
        let second = renewed(&broken, now());
        assert_eq!(second.authority, first.authority);
        assert_eq!(
            second.changed(&first).collect::<Vec<_>>(),
            ["tide-0", "tide-1"],
            "{garbage}"
        );
    }
    let mut broken = first.clone();
    broken.authority = leaf;
    let second = renewed(&broken, now());
    assert_ne!(second.authority, broken.authority, "it is no authority");
    let other = first.renewed("peers of shore/moon", &[], now()).unwrap();
    assert_ne!(other.authority, first.authority, "it is another DnsCluster's");
}

#[test]
fn names_that_are_too_long_for_certificates_are_cut_and_the_instance_is_not() {
    let pod = format!("{}-0", "t".repeat(70));
    let instance = format!("moon-{}-{pod}", "s".repeat(63));
    let server = Server {
        pod: pod.clone(),
        instance: instance.clone(),
    };
    let name = format!("peers of {}/{}", "s".repeat(63), "t".repeat(70));
    let nothing = PeerCertificates::read(None, None);
    let made = nothing
        .renewed(&name, std::slice::from_ref(&server), now())
        .unwrap();
    let subject = |text: &str| with(text, |of| of.subject().to_string());
    assert_eq!(
        subject(&made.authority.certificate),
        format!("CN={}", &name[..64])
    );
    assert_eq!(
        subject(&made.servers[&pod].certificate),
        format!("CN={}", "t".repeat(64))
    );
    with(&made.servers[&pod].certificate, |of| {
        let names = of.subject_alternative_name().unwrap().unwrap();
        assert!(format!("{:?}", names.value).contains(&format!("urn:zonetide:instance:{instance}\"")));
    });
    assert_eq!(made.renewed(&name, &[server], now()).unwrap(), made);
}

#[test]
fn secrets_are_read_as_they_are_and_what_is_no_text_is_nothing() {
    let secret = |data: &[(&str, &[u8])]| Secret {
        data: Some(
            data.iter()
                .map(|(key, value)| ((*key).to_owned(), ByteString(value.to_vec())))
                .collect(),
        ),
        ..Secret::default()
    };
    let authority = secret(&[("ca.crt", b"one\n"), ("ca.key", b"\xff\xfe")]);
    let servers = secret(&[
        ("ca.crt", b"all"),
        ("tide-0.crt", b"two "),
        ("tide-0.key", b"three"),
        ("tide-1.key", b"alone"),
        ("readme", b"?"),
    ]);
    let read = PeerCertificates::read(Some(&authority), Some(&servers));
    assert_eq!(
        (read.authority.certificate.as_str(), read.authority.key.expose()),
        ("one\n", "")
    );
    assert_eq!(read.believed, "all");
    let pair = &read.servers["tide-0"];
    assert_eq!((pair.certificate.as_str(), pair.key.expose()), ("two ", "three"));
    assert!(!read.servers.contains_key("tide-1"));
    let made = renewed(&read, now());
    assert!(is_believed(&made.servers["tide-1"], &made.believed, now()));
}

#[test]
fn debug_shows_no_private_key() {
    let made = self::made();
    let shown = format!("{made:?}");
    assert!(shown.contains("BEGIN CERTIFICATE") && !shown.contains("PRIVATE KEY"));
    let line = made.authority.key.expose().lines().nth(1).unwrap();
    assert!(!shown.contains(line));
}

//! Why a bucket is not ready, with what to do about it. The messages become conditions and events: they are the same
//! each time for the same cause (no request IDs, no times), and hold no keys.

use thiserror::Error;

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StoreError {
    #[error("the object store starts{details}")]
    Starting {
        /// What its pod waits for.
        details: String,
    },

    #[error("the object store is on its way to three nodes: {state}")]
    Growing {
        /// How far it has come.
        state: String,
    },

    #[error(
        "{pods} of the managed object store came back without their data, and one node alone cannot say what is missing; servers answer and take changes meanwhile. Begin the store anew as docs/object-stores.md says under \"Three nodes that lost more than one volume\": the servers fill it again"
    )]
    NodesLost { pods: String },

    #[error(
        "spec.objectStore.managed.replicas is 1, but this store has the volumes of three nodes, and was left as it is: set it to 3; for a store with one node make a second DnsCluster with 1, move the zones to it through the API, and delete this one when its clients ask the other"
    )]
    Shrunk,

    #[error(
        "the managed object store ends again and again{details}; servers answer and take changes meanwhile. If its files are damaged, replace it as docs/object-stores.md says under \"A managed store whose files are damaged\": the servers fill it again"
    )]
    Failing {
        /// What its pod says.
        details: String,
    },

    #[error(
        "spec.objectStore.managed.engine is MinIO, of which there is no public image any more: name one that you build or trust in spec.objectStore.managed.image, or for all DnsClusters in minio.image of the chart"
    )]
    NoMinioImage,

    #[error("the Secret {name} is missing: create it with the keys {id_key} and {secret_key}")]
    SecretMissing {
        name: String,
        id_key: String,
        secret_key: String,
    },

    #[error("the Secret {name} is missing: create it with the key {key}")]
    TokenMissing { name: String, key: String },

    #[error("the Secret {name} has no key {key}, or it is empty: add it, or name another in {field}")]
    SecretKeyMissing {
        name: String,
        key: String,
        field: &'static str,
    },

    #[error(
        "{endpoint} refuses the keys ({code}): put the right ones into the Secret {secret}, they are picked up at once"
    )]
    WrongKeys {
        endpoint: String,
        code: String,
        secret: String,
    },

    #[error(
        "{endpoint} does not let the keys list bucket {bucket} ({code}): correct the keys in the Secret {secret}, or allow them to list, get, put and delete under {prefix}"
    )]
    AccessDenied {
        endpoint: String,
        bucket: String,
        prefix: String,
        code: String,
        secret: String,
    },

    #[error(
        "{endpoint} does not let the keys delete objects in bucket {bucket} ({code}): allow the keys in the Secret {secret} to delete under {prefix}, or correct them"
    )]
    RemovalDenied {
        endpoint: String,
        bucket: String,
        prefix: String,
        code: String,
        secret: String,
    },

    #[error(
        "{endpoint} does not accept the keys that were made for bucket {bucket} ({code}): check that spec.objectStore.s3.endpoint is the store for which spec.objectStore.s3.credentials makes keys"
    )]
    MadeKeysRefused {
        endpoint: String,
        bucket: String,
        code: String,
    },

    #[error(
        "bucket {bucket} has objects under {prefix}, where earlier releases of Zonetide kept the zones of servers with PowerDNS 4.9: to serve these zones delete this DnsCluster, which has stored nothing yet, and apply it again with {prefix:?} as spec.objectStore.s3.prefix and \"4.9\" as spec.powerdns.version; to begin without them, with another prefix"
    )]
    OlderObjects { bucket: String, prefix: String },

    #[error("{endpoint} has no bucket {bucket}: create it, or set spec.objectStore.s3.createBucket to true")]
    BucketMissing { endpoint: String, bucket: String },

    #[error(
        "{endpoint} does not let the keys create bucket {bucket} ({code}): create it by other means, or allow the keys to"
    )]
    CreateDenied {
        endpoint: String,
        bucket: String,
        code: String,
    },

    #[error(
        "cannot reach {endpoint} ({cause}): check spec.objectStore.s3.endpoint, and that the operator may connect to it"
    )]
    Unreachable { endpoint: String, cause: String },

    #[error(
        "{endpoint} shows a certificate of an unknown authority ({cause}): put the authority's certificate into a Secret, and name that in spec.objectStore.s3.caSecretRef"
    )]
    Untrusted { endpoint: String, cause: String },

    #[error(
        "there is no usable certificate under {key} in the Secret {name}, which spec.objectStore.s3.caSecretRef names ({reason}): put the authority's certificate there, in PEM"
    )]
    CaUnusable {
        name: String,
        key: String,
        reason: String,
    },

    #[error("TLS cannot be set up with the certificates of spec.objectStore.s3.caSecretRef: {reason}")]
    NoTls { reason: String },

    #[error(
        "a token of another namespace is not sent to a server that only the authority of spec.objectStore.s3.caSecretRef vouches for: use a Secret of this namespace in credentials.garage.tokenSecretRef, or a certificate that everybody trusts"
    )]
    CaNotGranted,

    #[error(
        "a token of another namespace is not sent through a proxy that this DnsCluster chooses: remove spec.objectStore.s3.proxy, or use a Secret of this namespace"
    )]
    ProxyNotGranted,

    #[error("spec.objectStore.s3.proxy names no proxy: write http://host:port, https://host:port or none")]
    NoProxy,

    #[error("cannot reach the object store at {endpoint} ({cause}): look at the log of its pod")]
    ManagedUnreachable { endpoint: String, cause: String },

    #[error("{message}")]
    Spec {
        /// What is wrong with the spec.
        message: String,
    },

    #[error("the operator has no keys to the bucket: remove the objects by other means")]
    NotRemovable,

    #[error(
        "cannot reach the admin API of Garage at {endpoint} ({cause}): check spec.objectStore.s3.credentials.garage.adminEndpoint, and that the operator may connect to it"
    )]
    GarageUnreachable { endpoint: String, cause: String },

    #[error(
        "the admin API of Garage at {endpoint} does not let the token {action} ({code}): put a valid one into the Secret {secret}; if it has a scope, that needs GetBucketInfo, CreateBucket, ListKeys, CreateKey, DeleteKey and AllowBucketKey"
    )]
    GarageTokenRefused {
        endpoint: String,
        action: &'static str,
        secret: String,
        code: String,
    },

    #[error(
        "{endpoint} does not speak version 2 of Garage's admin API ({answer}): it takes Garage 2.0 or newer, and its admin API's port in spec.objectStore.s3.credentials.garage.adminEndpoint"
    )]
    NoGarageApi { endpoint: String, answer: String },

    #[error("the Garage at {endpoint} failed to {action}: {message}; look at its log")]
    Garage {
        endpoint: String,
        action: &'static str,
        message: String,
    },

    #[error("no keys are made: the pods' service account is trusted in their place")]
    NoCredentialsIssued,

    #[error("cannot reach Cloudflare's API at {api} ({cause}): let the operator connect to it")]
    CloudflareUnreachable { api: String, cause: String },

    #[error(
        "Cloudflare does not know the token ({code}), or it has ended or was disabled: put a valid one into the Secret {secret}"
    )]
    CloudflareTokenInvalid { code: String, secret: String },

    #[error(
        "Cloudflare does not let the token {action} in account {account} ({code}): give the token in the Secret {secret} the permission Workers R2 Storage: Edit for that account, or correct spec.objectStore.s3.credentials.r2.accountId"
    )]
    CloudflareDenied {
        action: &'static str,
        account: String,
        code: String,
        secret: String,
    },

    #[error(
        "{endpoint} refuses the admin's keys ({code}): put the right ones into the Secret {secret}, they are picked up at once"
    )]
    AdminKeysRefused {
        endpoint: String,
        code: String,
        secret: String,
    },

    #[error("account {account} has no R2: subscribe to it in Cloudflare's dashboard")]
    NoR2 { account: String },

    #[error("Cloudflare failed to {action}: {message}")]
    Cloudflare { action: &'static str, message: String },

    #[error(
        "cannot reach the STS at {endpoint} ({cause}): check spec.objectStore.s3.credentials.assumeRole.stsEndpoint, and that the operator may connect to it"
    )]
    StsUnreachable { endpoint: String, cause: String },

    #[error(
        "{endpoint} does not let the keys in the Secret {secret} assume {role} ({code}): correct spec.objectStore.s3.credentials.assumeRole.roleArn, let the role's trust policy name their user, and use keys of a user, neither temporary ones nor a service account's"
    )]
    NotAssumable {
        endpoint: String,
        role: String,
        code: String,
        secret: String,
    },

    #[error(
        "{endpoint} cannot assume {role} ({code}): give the ARN of a role that is there in spec.objectStore.s3.credentials.assumeRole.roleArn"
    )]
    RoleUnusable {
        endpoint: String,
        role: String,
        code: String,
    },

    #[error(
        "{endpoint} makes no keys that live this long ({code}): shorten spec.objectStore.s3.credentials.assumeRole.keyLifetime, or raise the role's maximum session duration"
    )]
    LifetimeRefused { endpoint: String, code: String },

    #[error(
        "{endpoint} refuses the policy that confines the keys to the prefix ({code}): use a shorter spec.objectStore.s3.prefix, or an STS that takes session policies"
    )]
    PolicyRefused { endpoint: String, code: String },

    #[error(
        "{endpoint} does not let the keys that it made list bucket {bucket} ({code}): allow {who} to list it, and to get, put and delete under {prefix}"
    )]
    SessionDenied {
        endpoint: String,
        bucket: String,
        prefix: String,
        code: String,
        who: String,
    },

    #[error("the STS at {endpoint} answered {answer}: {hint}")]
    Sts {
        endpoint: String,
        answer: String,
        hint: &'static str,
    },

    #[error(
        "bucket {bucket} is not where {endpoint} was asked for it in {asked} ({code}), but in the region {remedy}"
    )]
    WrongRegion {
        endpoint: String,
        bucket: String,
        code: String,
        /// The region that requests were signed for.
        asked: String,
        /// The right one, and what to set.
        remedy: String,
    },

    #[error("{endpoint} answered {code} for bucket {bucket}: {hint}")]
    Other {
        endpoint: String,
        bucket: String,
        code: String,
        hint: &'static str,
    },

    #[error("the object store at {endpoint} failed to {action}: {message}")]
    Managed {
        endpoint: String,
        action: &'static str,
        message: String,
    },

    #[error(
        "the Secret {secret} is not there, or does not allow this DnsCluster to use it: whoever looks after it may give it the annotations {needs}"
    )]
    NotGranted {
        secret: String,
        /// The annotations, which follow from the spec alone.
        needs: String,
    },

    #[error(
        "with the Secret {secret} of another namespace spec.objectStore.s3.prefix must lie under {namespace}/, and {prefix} does not: make another DnsCluster with such a prefix or without one, or use a Secret of the namespace {namespace}"
    )]
    PrefixNotGranted {
        secret: String,
        namespace: String,
        prefix: String,
    },

    #[error(
        "the Secret {secret} cannot be read: this operator was installed for one namespace (watchNamespace) and reads no others: put the Secret into the namespace {namespace}"
    )]
    OtherNamespace { secret: String, namespace: String },
}

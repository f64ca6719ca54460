//! The volume of each DNS server.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The volume of each server, which holds its copy of all zones. It stays when the DnsCluster is scaled in or deleted.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)").message(
        "spec.storage.storageClassName cannot change once volumes are made: make a second DnsCluster and move the zones through the API, or let the servers fill new volumes from the bucket as docs/volumes.md says step by step"
    )
)]
pub struct StorageSpec {
    /// Size of the volume, at least 64Mi. Each of the two database files may grow to 40 % of it (LMDB's map size).
    #[serde(default = "default_size")]
    #[schemars(
        length(min = 1, max = 20),
        regex(pattern = r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$")
    )]
    #[x_kube(
        validation = Rule::new("isQuantity(self) && quantity(self).compareTo(quantity('64Mi')) >= 0").message(
            "spec.storage.size must be at least 64Mi, like 5Gi: less has no room for two databases"
        ),
        validation = Rule::new("self == oldSelf").message(
            "spec.storage.size cannot change once volumes are made. To grow them: grow the claim of each server by hand, data-NAME-0, data-NAME-1 and so on (not data-NAME-garage-0 or data-NAME-minio-0, which holds the bucket); set spec.objectStore.deletionPolicy to Retain; delete the DnsCluster, and apply it again with the new size. No server answers in between. Where the StorageClass cannot grow volumes, see docs/volumes.md"
        )
    )]
    pub size: String,

    /// StorageClass of the volumes. Default: the cluster's default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
}

impl Default for StorageSpec {
    fn default() -> Self {
        Self {
            size: default_size(),
            storage_class_name: None,
        }
    }
}

fn default_size() -> String {
    "5Gi".to_owned()
}

//! `protection`: what looks like a mistake is held back before other servers have it. Lightning Stream's file has no such section.

use serde::{Deserialize, Serialize};

/// What is held back.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Protection {
    /// More zones than this that are deleted here within a minute are held back until somebody decides; 0: never.
    pub max_deleted_zones_per_minute: u32,
}

impl Protection {
    /// Most zones whose deletion others are told of within a minute; `None`: all.
    pub fn most_deleted_zones(&self) -> Option<u32> {
        Some(self.max_deleted_zones_per_minute).filter(|most| *most > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_held_back_unless_a_number_says_so() {
        let protection = |text: &str| serde_saphyr::from_str::<Protection>(text).unwrap();
        assert_eq!(protection("{}").most_deleted_zones(), None);
        assert_eq!(
            protection("{max_deleted_zones_per_minute: 0}").most_deleted_zones(),
            None
        );
        assert_eq!(
            protection("{max_deleted_zones_per_minute: 20}").most_deleted_zones(),
            Some(20)
        );
    }
}

//! The health check for Argo CD says of a DnsCluster what its status says. It runs in Lua 5.1, which Argo CD's interpreter speaks.

#[cfg(test)]
mod tests {
    use mlua::{Lua, LuaSerdeExt, StdLib};
    use serde::Deserialize;
    use serde_json::{Value, json};
    use zonetide_crds::NEVER_OBSERVED;

    const EXAMPLE: &str = include_str!("../../examples/argocd/argocd-cm.yaml");
    const KEY: &str = "resource.customizations.health.zonetide.dev_";

    #[derive(Debug, PartialEq, Deserialize)]
    struct Health {
        status: String,
        message: String,
    }

    fn health_of(object: &Value) -> Health {
        let config: Value = serde_saphyr::from_str(EXAMPLE).unwrap();
        let kind = object["kind"].as_str().unwrap();
        let script = &config["data"][format!("{KEY}{kind}")];
        let script = script.as_str().expect("the script");
        // As much of the library as Argo CD has without `useOpenLibs`.
        let lua = Lua::new_with(
            StdLib::TABLE | StdLib::STRING | StdLib::MATH,
            mlua::LuaOptions::default(),
        )
        .unwrap();
        // Argo CD gives what JSON has: a null is no field.
        let options = mlua::SerializeOptions::new().serialize_none_to_null(false);
        let options = options.serialize_unit_to_null(false);
        lua.globals()
            .set("obj", lua.to_value_with(object, options).unwrap())
            .unwrap();
        let answer = lua.load(script).eval().unwrap();
        lua.from_value(answer).unwrap()
    }

    /// A DnsCluster in its third generation.
    fn cluster(status: &Value) -> Value {
        json!({
            "apiVersion": "zonetide.dev/v1alpha1", "kind": "DnsCluster",
            "metadata": {"name": "example", "generation": 3},
            "spec": {"objectStore": {"managed": {}}},
            "status": status,
        })
    }

    /// With conditions as `Ready=False (ServersNotReady)`; the message of each is its name and `says`.
    fn status(observed: i64, conditions: &[&str]) -> Value {
        let conditions: Vec<Value> = conditions
            .iter()
            .map(|text| {
                let (kind, rest) = text.split_once('=').unwrap();
                let (status, reason) = rest.split_once(' ').unwrap();
                json!({"type": kind, "status": status, "reason": reason, "message": format!("{kind} says"),
                    "observedGeneration": observed, "lastTransitionTime": "2026-11-28T00:00:00Z"})
            })
            .collect();
        json!({"observedGeneration": observed, "replicas": 2, "readyReplicas": 1, "conditions": conditions})
    }

    #[track_caller]
    fn is(object: &Value, status: &str, message: &str) {
        let expected = Health {
            status: status.to_owned(),
            message: message.to_owned(),
        };
        assert_eq!(health_of(object), expected, "{object}");
    }

    #[test]
    fn a_restore_is_healthy_when_it_is_done_and_degraded_when_it_has_failed() {
        let ready = json!([{"type": "Ready", "status": "False", "reason": "R", "message": "Ready says"}]);
        for (status, health, message) in [
            (
                json!({"observedGeneration": NEVER_OBSERVED}),
                "Progressing",
                "waiting for the operator",
            ),
            (
                json!({"phase": "Planning", "conditions": ready}),
                "Progressing",
                "Ready says",
            ),
            (
                json!({"phase": "Running", "conditions": ready}),
                "Progressing",
                "Ready says",
            ),
            (
                json!({"phase": "Done", "conditions": ready}),
                "Healthy",
                "Ready says",
            ),
            (
                json!({"phase": "Failed", "conditions": ready}),
                "Degraded",
                "Ready says",
            ),
        ] {
            is(&json!({"kind": "DnsRestore", "status": status}), health, message);
        }
    }

    const NOT_SEEN: &str = "waiting for the operator to look at this generation";

    #[test]
    fn a_new_or_changed_one_is_progressing_whatever_was_true_before() {
        let mut without = cluster(&json!({}));
        is(&without, "Progressing", NOT_SEEN);
        without.as_object_mut().unwrap().remove("status");
        is(&without, "Progressing", NOT_SEEN);
        is(
            &cluster(&json!({"observedGeneration": NEVER_OBSERVED, "replicas": 0})),
            "Progressing",
            NOT_SEEN,
        );
        is(
            &cluster(&status(
                2,
                &["Ready=True AllServersReady", "Progressing=False UpToDate"],
            )),
            "Progressing",
            NOT_SEEN,
        );
    }

    #[test]
    fn a_ready_one_is_healthy() {
        let ready = status(
            3,
            &[
                "ObjectStoreReady=False StoreError",
                "Progressing=False UpToDate",
                "Ready=True AllServersReady",
            ],
        );
        is(&cluster(&ready), "Healthy", "Ready says");
    }

    #[test]
    fn one_that_is_not_ready_is_progressing_as_long_as_something_is_on_its_way_and_else_degraded() {
        let under_way = status(
            3,
            &["Ready=False RollingUpdate", "Progressing=True RollingUpdate"],
        );
        is(&cluster(&under_way), "Progressing", "Ready says");
        for reason in [
            "InvalidSpec",
            "SecretMissing",
            "ObjectStoreNotReady",
            "ReconcileFailed",
        ] {
            let stuck = status(
                3,
                &[
                    &format!("Ready=False {reason}"),
                    &format!("Progressing=False {reason}"),
                ],
            );
            is(&cluster(&stuck), "Degraded", "Ready says");
        }
        let unknown = status(3, &["Ready=Unknown InvalidSpec", "Progressing=False InvalidSpec"]);
        is(&cluster(&unknown), "Progressing", "Ready says");
        is(
            &cluster(&status(3, &[])),
            "Progressing",
            "waiting for the condition Ready",
        );
    }

    #[test]
    fn a_paused_one_is_suspended_whatever_else_is_true() {
        for (observed, ready) in [
            (3, "Ready=True AllServersReady"),
            (2, "Ready=False Scaling"),
            (NEVER_OBSERVED, "Ready=Unknown PausedByAnnotation"),
        ] {
            let paused = status(observed, &[ready, "Paused=True PausedByAnnotation"]);
            is(&cluster(&paused), "Suspended", "Paused says");
        }
    }

    #[test]
    fn one_that_is_being_deleted_is_progressing_and_degraded_when_that_is_blocked() {
        let deleting = |status: &Value| {
            let mut object = cluster(status);
            object["metadata"]["deletionTimestamp"] = json!("2026-11-28T00:00:00Z");
            object
        };
        is(
            &deleting(&status(3, &["Ready=False Deleting", "Progressing=True Deleting"])),
            "Progressing",
            "Ready says",
        );
        is(
            &deleting(&status(
                3,
                &["Ready=False DeletionBlocked", "Progressing=False DeletionBlocked"],
            )),
            "Degraded",
            "Ready says",
        );
        is(
            &deleting(&json!({"observedGeneration": NEVER_OBSERVED})),
            "Progressing",
            "is being deleted",
        );
    }
}

//! The faults, and how each is brought about and ended.

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::net::TcpStream;
use zonetide_e2e::names::{OPERATOR_DEPLOYMENT, OPERATOR_NAMESPACE};
use zonetide_e2e::processes::{self, Program, Signal};
use zonetide_e2e::{Handle, drain, idle, store_away};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Nothing,
    KillAgent,
    KillAgentOften,
    StopAgent,
    KillSupervisor,
    StopSupervisor,
    KillPowerDns,
    StopPowerDns,
    DeletePod,
    DeleteApiPod,
    RollOut,
    Drain,
    ScaleIn,
    IdleConnections,
    OperatorAway,
    OperatorAwayApiPodDeleted,
    StoreAway,
}

/// What has to be kept or known until a fault is over.
pub(crate) enum Undo {
    Continue {
        pod: String,
        program: Program,
        process: u32,
    },
    Close(Vec<TcpStream>),
    StartOperator,
    BringStoreBack,
    ScaleOut,
}

/// How often an agent is killed that dies again and again.
const OFTEN: usize = 4;

impl Fault {
    pub(crate) const ALL: [Self; 17] = [
        Self::Nothing,
        Self::KillAgent,
        Self::KillAgentOften,
        Self::StopAgent,
        Self::KillSupervisor,
        Self::StopSupervisor,
        Self::KillPowerDns,
        Self::StopPowerDns,
        Self::DeletePod,
        Self::DeleteApiPod,
        Self::RollOut,
        Self::Drain,
        Self::ScaleIn,
        Self::IdleConnections,
        Self::OperatorAway,
        Self::OperatorAwayApiPodDeleted,
        Self::StoreAway,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::KillAgent => "kill -9 agent",
            Self::KillAgentOften => "kill -9 agent, four times as soon as it runs",
            Self::StopAgent => "STOP agent",
            Self::KillSupervisor => "kill -9 supervisor",
            Self::StopSupervisor => "STOP supervisor",
            Self::KillPowerDns => "kill -9 PowerDNS",
            Self::StopPowerDns => "STOP PowerDNS",
            Self::DeletePod => "delete a pod",
            Self::DeleteApiPod => "delete the API pod",
            Self::RollOut => "roll-out of three",
            Self::Drain => "drain of all three",
            Self::ScaleIn => "scale-in from three to two",
            Self::IdleConnections => "1,152 idle connections to port 8500 of each pod",
            Self::OperatorAway => "operator away",
            Self::OperatorAwayApiPodDeleted => "operator away, delete the API pod",
            Self::StoreAway => "two servers, store away, kill -9 agent of one, delete the other",
        }
    }

    pub(crate) fn servers(self) -> i32 {
        if self == Self::StoreAway { 2 } else { 3 }
    }

    /// Whether it goes on until it is undone.
    pub(crate) fn lasts(self) -> bool {
        matches!(
            self,
            Self::Nothing
                | Self::StopAgent
                | Self::StopSupervisor
                | Self::StopPowerDns
                | Self::IdleConnections
                | Self::OperatorAway
                | Self::OperatorAwayApiPodDeleted
                | Self::StoreAway
        )
    }

    /// The program that it is done to, which is not in every version's pods.
    pub(crate) fn program(self) -> Option<Program> {
        match self {
            Self::KillAgent | Self::KillAgentOften | Self::StopAgent => Some(Program::Agent),
            Self::KillSupervisor | Self::StopSupervisor => Some(Program::Supervisor),
            Self::KillPowerDns | Self::StopPowerDns => Some(Program::PowerDns),
            _ => None,
        }
    }

    /// What must be the case before the loads begin, because it is not what is measured.
    pub(crate) async fn prepare(self, cluster: &Handle) -> Result<Option<Undo>> {
        match self {
            Self::StoreAway => {
                store_away::take_away(cluster).await?;
                Ok(Some(Undo::BringStoreBack))
            }
            Self::OperatorAwayApiPodDeleted => {
                scale_operator(cluster, 0).await?;
                Ok(Some(Undo::StartOperator))
            }
            _ => Ok(None),
        }
    }

    pub(crate) async fn inflict(self, cluster: &Handle) -> Result<Option<Undo>> {
        let api = cluster.api_pod().await?;
        let pods = cluster.pod_names().await?;
        let other = pods
            .into_iter()
            .find(|pod| *pod != api)
            .context("a DnsCluster of one server")?;
        match self {
            Self::Nothing => {}
            Self::KillAgent | Self::KillSupervisor | Self::KillPowerDns => {
                let program = self.program().context("a fault of a program")?;
                processes::signal(cluster, &api, program, Signal::Kill).await?;
            }
            Self::KillAgentOften => kill_often(cluster, &api).await?,
            Self::StopAgent | Self::StopSupervisor | Self::StopPowerDns => {
                let program = self.program().context("a fault of a program")?;
                let process = processes::signal(cluster, &api, program, Signal::Stop).await?;
                return Ok(Some(Undo::Continue {
                    pod: api,
                    program,
                    process,
                }));
            }
            Self::DeletePod => cluster.delete_pod(&other).await?,
            Self::DeleteApiPod | Self::OperatorAwayApiPodDeleted => cluster.delete_pod(&api).await?,
            Self::RollOut => {
                // Another one than before, so that there is something to roll out.
                let ttl = (3600 + rand::random_range(0..100_000)).to_string();
                let change = json!({"spec": {"powerdns": {"config": {"default-ttl": ttl}}}});
                cluster.patch(&change).await?;
            }
            Self::Drain => drain::drain(cluster).await?,
            Self::ScaleIn => {
                cluster.patch(&json!({"spec": {"replicas": 2}})).await?;
                return Ok(Some(Undo::ScaleOut));
            }
            Self::IdleConnections => return Ok(Some(Undo::Close(idle::to_agents(cluster).await?))),
            Self::OperatorAway => {
                scale_operator(cluster, 0).await?;
                return Ok(Some(Undo::StartOperator));
            }
            Self::StoreAway => {
                processes::signal(cluster, &api, Program::Agent, Signal::Kill).await?;
                cluster.delete_pod(&other).await?;
            }
        }
        Ok(None)
    }
}

impl Undo {
    pub(crate) async fn run(self, cluster: &Handle) -> Result<()> {
        match self {
            Self::Continue {
                pod,
                program,
                process,
            } => {
                // It may have been ended meanwhile, because it did not answer.
                let sent = processes::signal_process(cluster, &pod, program, process, Signal::Continue).await;
                if let Err(error) = sent {
                    eprintln!("{program:?} of {pod} does not go on: {error:#}");
                }
                Ok(())
            }
            Self::Close(connections) => {
                drop(connections);
                Ok(())
            }
            Self::StartOperator => scale_operator(cluster, 1).await,
            Self::BringStoreBack => store_away::bring_back(cluster).await,
            Self::ScaleOut => {
                cluster.patch(&json!({"spec": {"replicas": 3}})).await?;
                Ok(())
            }
        }
    }
}

/// Kills the agent as soon as there is another one.
async fn kill_often(cluster: &Handle, pod: &str) -> Result<()> {
    let mut before = None;
    for _ in 0..OFTEN {
        let process = crate::health::another(cluster, pod, Program::Agent, before).await?;
        processes::signal_process(cluster, pod, Program::Agent, process, Signal::Kill).await?;
        before = Some(process);
    }
    Ok(())
}

async fn scale_operator(cluster: &Handle, replicas: i32) -> Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), OPERATOR_NAMESPACE);
    let change = json!({"spec": {"replicas": replicas}});
    deployments
        .patch_scale(
            OPERATOR_DEPLOYMENT,
            &PatchParams::default(),
            &Patch::Merge(&change),
        )
        .await?;
    crate::health::operator_pods(cluster, replicas).await
}

//! Plugins: the end of a release that installations use.

use kube::{
    Resource,
    core::admission::{AdmissionRequest, Operation},
};
use plexica_crds::Plugin;
use plexica_operator::{
    controllers::plugin::{Uses, parse_release},
    runtime::controller::Root,
};

use super::{Decided, Verdict};
use crate::cluster::{Cluster, Unread};

impl Decided for Plugin {
    async fn decide(request: &AdmissionRequest<Root<Plugin>>, cluster: &Cluster) -> Result<Verdict, Unread> {
        let going = request
            .old_object
            .as_ref()
            .is_some_and(|plugin| plugin.meta().deletion_timestamp.is_some());
        let Some((id, _)) = parse_release(&request.name).filter(|_| request.operation == Operation::Delete && !going)
        else {
            return Ok(Verdict::Allowed);
        };
        let uses = Uses::of(&request.name, &cluster.installations_of(&id).await?);
        Ok(match uses.refusal() {
            Some(outcome) => Verdict::refused(outcome),
            None => Verdict::Allowed,
        })
    }
}

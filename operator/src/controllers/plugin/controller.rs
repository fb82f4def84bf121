//! When Plugins are looked at, and what of them is counted.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use plexica_crds::{Plugin, plugin::State};
use strum::IntoEnumIterator;

use super::{Context, INSTALLATIONS, KIND, pass, uses::Uses};
use crate::runtime::{
    controller::{GATHERED, Passed, Reconciler, Root, Triggers, when_otherwise},
    objects::{Error, Objects},
};

impl Reconciler for Context {
    type Kind = Plugin;
    const KIND: &'static str = KIND;
    const READS: &'static [&'static str] = &[INSTALLATIONS];

    fn phases() -> Vec<&'static str> {
        State::iter().map(Into::into).collect()
    }

    fn phase(plugin: &Plugin) -> Option<&'static str> {
        plugin.status.as_ref()?.state.map(Into::into)
    }

    fn tenant(_: &ObjectMeta) -> Option<&str> {
        None
    }

    fn objects(&self) -> &Objects<Plugin> {
        &self.objects
    }

    fn triggers(&self) -> Vec<Triggers<Plugin>> {
        let installations = self.installations.clone();
        let (plugins, base_paths) = (self.plugins.clone(), self.base_paths.clone());
        vec![
            when_otherwise([installations.changed()], GATHERED, move || {
                Uses::by_release(&installations.state())
            }),
            // Who was refused a path may have it when the other plugin goes.
            when_otherwise([plugins.changed()], GATHERED, move || {
                base_paths.refused(&plugins.state())
            }),
        ]
    }

    async fn pass(&self, plugin: &Root<Plugin>) -> Result<Passed, Error> {
        pass(plugin, self).await
    }
}

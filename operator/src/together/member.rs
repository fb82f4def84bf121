//! One plugin of a tenant, as the others see it.

use plexica_crds::{
    names::{PluginId, Slot},
    plugin_installation::{Step, conditions::Reason},
};
use semver::Version;

use crate::promotion::{Memory, PerSlot, Revision};

/// A plugin that is live. Whatever of it the others decide by is in here, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// It.
    pub plugin: PluginId,
    /// The version that is live.
    pub live: Version,
    /// The version that it is to go to, if that is another one.
    pub next: Option<Next>,
    /// The version that it can go back to.
    pub back: Option<Back>,
    /// What it prepared last, if that was rejected.
    pub rejected: Option<Version>,
}

/// What is to be live next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Next {
    /// The version.
    pub version: Version,
    /// How far it is.
    pub stage: Stage,
}

/// How far the next version is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// It runs once for all tenants, now or then: it is rolled out in place, as soon as what it needs is live.
    InPlace,
    /// It has no candidate yet.
    NotBegun,
    /// It is not tried again.
    Rejected,
    /// It is being deployed, or soaks.
    Preparing,
    /// It has soaked and waits for a person.
    AwaitsPerson,
    /// It goes live as soon as the others let it.
    Prepared,
    /// It is going live.
    Switching,
}

/// What was live before.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Back {
    /// The version.
    pub version: Version,
    /// How it stands by.
    pub standby: Standby,
}

/// How the former version stands by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standby {
    /// It has no ready pod.
    NotReady,
    /// It can be live again by one write.
    Ready,
    /// It is to be live again, as soon as others let it.
    Due,
    /// It is going live again.
    Going,
}

/// What is known of a plugin beside what its traffic light remembers.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Its traffic light knows what is wanted now.
    pub is_current: bool,
    /// It goes live without a person, or one has asked for it.
    pub is_released: bool,
    /// A person asks for a rollback, which was not carried out yet: it ends a candidate, or leads back.
    pub is_asked_back: bool,
    /// The slots with a ready pod.
    pub ready: PerSlot<bool>,
    /// What was prepared last.
    pub prepared: Option<Revision>,
    /// What it says stands in its way back: `AwaitingOthers`, if it is to go back and others go first, whoever asks for that, and
    /// `Contracted`, if there is no way back any more.
    pub blocked_by: Option<Reason>,
}

impl Member {
    /// What others see of a plugin; `None` if nothing of it is live.
    pub fn of(plugin: &PluginId, memory: &Memory, told: &Told) -> Option<Self> {
        Some(Self {
            plugin: plugin.clone(),
            live: version_in(memory, memory.live?)?,
            next: next(memory, told),
            back: back(memory, told),
            rejected: told
                .prepared
                .as_ref()
                .filter(|prepared| memory.rejection(prepared).is_some())
                .and_then(|prepared| Version::parse(&prepared.version).ok()),
        })
    }

    /// A plugin as it sees itself, once what is on its way is live: so what is said of its way back holds right after the switch.
    /// `None` if there is none.
    pub(super) fn switched(plugin: &PluginId, memory: &Memory, wanted: &Revision) -> Option<Self> {
        let moving = memory.transition.as_ref().filter(|moving| !moving.is_rollback())?;
        let (live, back) = if moving.step <= Step::Switching {
            (Version::parse(&moving.revision.version).ok()?, memory.live?)
        } else {
            (version_in(memory, memory.live?)?, moving.from?)
        };
        let back = Back {
            version: version_in(memory, back)?,
            standby: Standby::Ready,
        };
        let is_rejected = memory.rejection(wanted).is_some();
        let wanted = Version::parse(&wanted.version).ok();
        let this = Self {
            plugin: plugin.clone(),
            live,
            next: None,
            back: Some(back),
            rejected: wanted.clone().filter(|_| is_rejected),
        };
        Some(this.planned(wanted.as_ref(), false))
    }

    /// With what the plan says: a candidate of anything else is given up.
    #[must_use]
    pub fn planned(mut self, to: Option<&Version>, is_in_place: bool) -> Self {
        let candidate = self.next.take();
        if candidate.as_ref().is_some_and(|next| next.stage == Stage::Switching) {
            self.next = candidate;
            return self;
        }
        let to = to.filter(|to| **to != self.live);
        self.next = to.map(|to| {
            let is_rejected = self.rejected.as_ref() == Some(to);
            let begun = candidate.filter(|candidate| candidate.version == *to);
            let stage = match begun {
                _ if is_in_place => Stage::InPlace,
                Some(candidate) => candidate.stage,
                None if is_rejected => Stage::Rejected,
                None => Stage::NotBegun,
            };
            Next {
                version: to.clone(),
                stage,
            }
        });
        self
    }

    /// Itself, at what is live.
    pub(super) fn at_live(&self) -> super::At<'_> {
        (&self.plugin, &self.live)
    }
}

fn version_in(memory: &Memory, slot: Slot) -> Option<Version> {
    Version::parse(&memory.revisions.of(slot).as_ref()?.version).ok()
}

fn next(memory: &Memory, told: &Told) -> Option<Next> {
    let moving = memory.transition.as_ref().filter(|moving| !moving.is_rollback())?;
    let stage = match moving.step {
        Step::Deploying | Step::Soaking => Stage::Preparing,
        Step::AwaitingPromotion if !told.is_current || told.is_asked_back => Stage::Preparing,
        Step::AwaitingPromotion if told.is_released => Stage::Prepared,
        Step::AwaitingPromotion => Stage::AwaitsPerson,
        Step::Switching => Stage::Switching,
        Step::Proving | Step::MovingConnections | Step::StandingBy | Step::Draining => return None,
    };
    let version = Version::parse(&moving.revision.version).ok()?;
    Some(Next { version, stage })
}

fn back(memory: &Memory, told: &Told) -> Option<Back> {
    let moving = memory.transition.as_ref()?;
    let (slot, standby) = match moving.step {
        Step::Switching if moving.is_rollback() => (moving.to, Standby::Going),
        Step::Proving | Step::MovingConnections | Step::StandingBy
            if !moving.is_rollback() && told.blocked_by != Some(Reason::Contracted) =>
        {
            let former = moving.from?;
            let is_due = told.is_asked_back || told.blocked_by == Some(Reason::AwaitingOthers);
            let standby = match (*told.ready.of(former), is_due) {
                (false, _) => Standby::NotReady,
                (true, false) => Standby::Ready,
                (true, true) => Standby::Due,
            };
            (former, standby)
        }
        Step::Deploying
        | Step::Soaking
        | Step::AwaitingPromotion
        | Step::Switching
        | Step::Proving
        | Step::MovingConnections
        | Step::StandingBy
        | Step::Draining => return None,
    };
    let version = version_in(memory, slot)?;
    Some(Back { version, standby })
}

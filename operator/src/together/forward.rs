//! Forward: whether a candidate may go live now, as far as the other plugins of the tenant are concerned.

use plexica_crds::names::PluginId;
use semver::Version;

use super::{
    At, Member, Stage, Together,
    member::{Next, Standby},
};

impl Together {
    /// Why a version does not go live yet, in one sentence; `None` if it may, whether it goes with all that is live or is the
    /// first of those that go together.
    pub fn held_back(&self, plugin: &PluginId, live: &Version, to: &Version) -> Option<String> {
        let group = match self.group_forward((plugin, to)) {
            Ok(group) => group,
            Err(why) => return Some(why),
        };
        let unprepared = group.iter().find_map(|at| {
            let next = self.other(at.0)?.next.as_ref()?;
            Some((at, says(next.stage)?))
        });
        if let Some(((other, version), says)) = unprepared {
            let why = self.reason_for(&group, other);
            return Some(format!(
                "it goes live together with {other} {version}, which {says}{why}"
            ));
        }
        let (first, version) = self.first_forward(&group, (plugin, live))?;
        (first != plugin).then(|| format!("{first} {version} goes live first"))
    }

    /// What has to move together with one, itself first.
    fn group_forward<'a>(&'a self, start: At<'a>) -> Result<Vec<At<'a>>, String> {
        let mut group = vec![start];
        let mut at = 0;
        while let Some(moving) = group.get(at).copied() {
            at += 1;
            for other in self.others.iter().filter(|other| other.plugin != *moving.0) {
                self.goes_not_back_to_a_clash(moving, other)?;
                let moves = group.iter().find(|(plugin, _)| *plugin == &other.plugin);
                if let Some(clash) = moves.and_then(|moves| self.clash(moving, *moves)) {
                    return Err(clash);
                }
                let Some(why) = self.clash_with_live(moving, other).filter(|_| moves.is_none()) else {
                    continue;
                };
                match &other.next {
                    Some(next) if next.stage == Stage::InPlace => {
                        return Err(format!("{} {} goes live first: {why}", other.plugin, next.version));
                    }
                    Some(Next { version, .. }) if self.clash(moving, (&other.plugin, version)).is_none() => {
                        group.push((&other.plugin, version));
                    }
                    _ => return Err(format!("{why}, and nothing else of {} is to be live", other.plugin)),
                }
            }
        }
        Ok(group)
    }

    /// Why one does not go with what is live of another. What is rolled out in place, and would only have to follow, cannot be
    /// prepared, and is not waited for.
    fn clash_with_live(&self, moving: At<'_>, other: &Member) -> Option<String> {
        let follows_in_place = other.next.as_ref().is_some_and(|next| next.stage == Stage::InPlace);
        if follows_in_place {
            return self.excludes(moving, other.at_live());
        }
        self.clash(moving, other.at_live())
    }

    fn goes_not_back_to_a_clash(&self, moving: At<'_>, other: &Member) -> Result<(), String> {
        let going = other
            .back
            .as_ref()
            .filter(|back| matches!(back.standby, Standby::Going | Standby::Due));
        let clash = going.and_then(|back| self.clash(moving, (&other.plugin, &back.version)));
        clash.map_or(Ok(()), |why| Err(format!("{} goes back: {why}", other.plugin)))
    }

    /// Who of a group that is prepared goes first: who breaks nothing, else the first of the plan.
    fn first_forward<'a>(&self, group: &[At<'a>], this: At<'_>) -> Option<At<'a>> {
        let breaks = |at: &At<'_>| {
            let mut others = self.others.iter().filter(|other| other.plugin != *at.0);
            let breaks_this = at.0 != this.0 && self.clash(*at, this).is_some();
            breaks_this || others.any(|other| self.clash_with_live(*at, other).is_some())
        };
        group.iter().copied().min_by_key(|at| (breaks(at), self.place(at.0)))
    }

    /// Whose live version it is that does not go with somebody of the group.
    fn reason_for(&self, group: &[At<'_>], plugin: &PluginId) -> String {
        let live = self.other(plugin).map(Member::at_live);
        let why = live.and_then(|live| group.iter().find_map(|moving| self.clash(*moving, live)));
        why.map_or_else(String::new, |why| format!(": {why}"))
    }
}

/// What is missing, if something is.
fn says(stage: Stage) -> Option<&'static str> {
    match stage {
        Stage::Prepared | Stage::Switching => None,
        Stage::InPlace | Stage::NotBegun => Some("is not begun yet"),
        Stage::Rejected => Some("was rejected"),
        Stage::Preparing => Some("is being prepared"),
        Stage::AwaitsPerson => Some("waits for a person (plexica.io/promote)"),
    }
}

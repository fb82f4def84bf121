//! Back: what a rollback means for the other plugins of the tenant, and what theirs means for this one.

use std::cmp::Reverse;

use plexica_crds::names::PluginId;

use super::{At, Back, Member, Stage, Together, member::Standby};
use crate::promotion::{Follows, WayBack};

impl Together {
    /// What others mean for the way back of this one.
    pub fn way_back(&self, this: &Member) -> WayBack {
        let group = match self.group_back(this, this) {
            Ok(group) => group,
            Err(why) => return why,
        };
        let others = group.iter().filter(|other| other.plugin != this.plugin);
        let others: Vec<_> = others.filter_map(|other| Some(name(other.at_back()?))).collect();
        let others = others.join(", ");
        match self.first_back(&group, this) {
            _ if group.len() == 1 => WayBack::Alone,
            Some(first) if first.plugin == this.plugin => WayBack::Before(others),
            _ => WayBack::After(others),
        }
    }

    /// Whether this one goes back though nobody asked for that: another one is to go back, and waits for it; or has gone back to
    /// what does not go with what is live of this one, or cannot come to what would.
    pub fn follows(&self, this: &Member) -> Follows {
        let clash = |other: &Member| self.clash(this.at_live(), other.at_live());
        let clash_to_come = |other: &Member| {
            let going = other
                .back
                .as_ref()
                .filter(|back| matches!(back.standby, Standby::Due | Standby::Going));
            going.is_some_and(|back| self.clash(this.at_live(), (&other.plugin, &back.version)).is_some())
        };
        let follows = self.others.iter().find_map(|other| {
            let is_due = other.back.as_ref().is_some_and(|back| back.standby == Standby::Due);
            if is_due {
                let back = name(other.at_back()?);
                return self
                    .is_next_back(other, this)
                    .then(|| format!("it goes back with {back}"));
            }
            clash(other).filter(|_| !self.comes_together(this, other) && self.is_next_back(this, this))
        });
        match follows {
            Some(why) => Follows::Back(why),
            None if self
                .others
                .iter()
                .any(|other| clash(other).is_some() || clash_to_come(other)) =>
            {
                Follows::Perhaps
            }
            None => Follows::Nobody,
        }
    }

    /// Whether all can go back if one does, and this one is the first of them.
    fn is_next_back(&self, one: &Member, this: &Member) -> bool {
        let group = self.group_back(one, this).ok();
        let first = group.and_then(|group| self.first_back(&group, this).map(|first| first.plugin.clone()));
        first.as_ref() == Some(&this.plugin)
    }

    /// Whether two that do not go together will by themselves: one of them moves on, or is going back.
    fn comes_together(&self, this: &Member, other: &Member) -> bool {
        let comes = |one: &Member, other: &Member| {
            let next = one.next.as_ref().filter(|next| next.stage != Stage::Rejected);
            next.is_some_and(|next| self.clash((&one.plugin, &next.version), other.at_live()).is_none())
        };
        let both = this
            .next
            .as_ref()
            .zip(other.next.as_ref())
            .is_some_and(|(this_next, next)| {
                let is_rejected = [this_next, next].iter().any(|next| next.stage == Stage::Rejected);
                let at = [(&this.plugin, &this_next.version), (&other.plugin, &next.version)];
                !is_rejected && self.clash(at[0], at[1]).is_none()
            });
        let goes = other.back.as_ref().is_some_and(|back| back.standby == Standby::Going);
        goes || both || comes(this, other) || comes(other, this)
    }

    /// Who has to go back if one does, that one first. What is asked of the others' standbys is not asked of `start`'s.
    fn group_back<'a>(&'a self, start: &'a Member, this: &'a Member) -> Result<Vec<&'a Member>, WayBack> {
        let mut group = vec![start];
        let mut at = 0;
        while let Some(moving) = group.get(at).copied() {
            at += 1;
            let Some(back) = moving.at_back() else { continue };
            for other in self.all_but(moving, this) {
                let moves = group.iter().any(|member| member.plugin == other.plugin);
                let Some(why) = self.in_the_way(back, other, moves)? else {
                    continue;
                };
                match &other.back {
                    _ if moves => return Err(WayBack::Closed(why)),
                    Some(Back { version, standby }) if self.clash(back, (&other.plugin, version)).is_none() => {
                        if *standby == Standby::NotReady {
                            let version = name((&other.plugin, version));
                            return Err(WayBack::NotReady(format!(
                                "{version}, which goes back with it, has no ready pod: {why}"
                            )));
                        }
                        group.push(other);
                    }
                    _ => return Err(WayBack::Closed(format!("{why}, and cannot go back with it"))),
                }
            }
        }
        Ok(group)
    }

    /// Why a former version does not go with another plugin; with what it goes back to, if it goes back as well.
    fn in_the_way(&self, back: At<'_>, other: &Member, moves: bool) -> Result<Option<String>, WayBack> {
        let at = if moves { other.at_back() } else { None };
        if let Some(next) = other.next.as_ref().filter(|next| next.stage == Stage::Switching)
            && let Some(why) = self.clash(back, (&other.plugin, &next.version))
        {
            return Err(WayBack::NotReady(format!("{} is going live: {why}", other.plugin)));
        }
        Ok(self.clash(back, at.unwrap_or_else(|| other.at_live())))
    }

    /// Who of a group goes back first: who breaks nothing, else the last of the plan.
    fn first_back<'a>(&self, group: &[&'a Member], this: &Member) -> Option<&'a Member> {
        let breaks = |member: &Member| {
            let back = member.at_back();
            back.is_some_and(|back| {
                let mut others = self.all_but(member, this);
                others.any(|other| self.clash(back, other.at_live()).is_some())
            })
        };
        group
            .iter()
            .copied()
            .min_by_key(|member| (breaks(member), Reverse(self.place(&member.plugin))))
    }

    /// All members but one.
    fn all_but<'a>(&'a self, one: &'a Member, this: &'a Member) -> impl Iterator<Item = &'a Member> {
        let all = self.others.iter().chain([this]);
        all.filter(|other| other.plugin != one.plugin)
    }
}

impl Member {
    /// Itself, at what it can go back to.
    fn at_back(&self) -> Option<At<'_>> {
        Some((&self.plugin, &self.back.as_ref()?.version))
    }
}

fn name((plugin, version): (&PluginId, &semver::Version)) -> String {
    format!("{plugin} {version}")
}

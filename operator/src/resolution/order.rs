//! Providers before dependants.
//!
//! Of what is left, the plugin whose providers are all done is next; of several the one with the smallest id. Where all
//! wait for each other, a cycle that needs nothing outside itself is next as a whole. In it the plugin begins that has
//! the fewest required (rather than optional) providers left, directly or through others; of several the one with the
//! smallest id. The others of the cycle follow by the same rules.

use std::collections::{BTreeMap, BTreeSet};

use plexica_crds::names::PluginId;

/// What a plugin wants to find when it starts.
#[derive(Default)]
pub(super) struct Needs<'a> {
    required: BTreeSet<&'a PluginId>,
    all: BTreeSet<&'a PluginId>,
}

impl<'a> Needs<'a> {
    /// Adds a provider.
    pub(super) fn add(&mut self, provider: &'a PluginId, required: bool) {
        self.all.insert(provider);
        if required {
            self.required.insert(provider);
        }
    }
}

/// The plugins, providers before dependants. Providers that are not among them do not count.
pub(super) fn providers_first<'a>(mut left: BTreeMap<&'a PluginId, Needs<'a>>) -> Vec<&'a PluginId> {
    let mut dependants: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut waits_for = BTreeMap::new();
    for (plugin, needs) in &left {
        let providers: Vec<_> = needs.all.iter().filter(|need| left.contains_key(*need)).collect();
        waits_for.insert(*plugin, providers.len());
        for provider in providers {
            dependants.entry(*provider).or_default().push(*plugin);
        }
    }
    let free = waits_for.iter().filter(|(_, count)| **count == 0);
    let mut ready: BTreeSet<_> = free.map(|(plugin, _)| *plugin).collect();
    let mut ordered = Vec::with_capacity(left.len());
    loop {
        let next = match ready.pop_first() {
            Some(next) => left.remove_entry(next).map(|(next, _)| next).into_iter().collect(),
            None => match first_of_a_cycle(&left) {
                Some(first) => cycle(&mut left, first),
                None => return ordered,
            },
        };
        for dependant in next
            .iter()
            .flat_map(|plugin| dependants.remove(plugin).unwrap_or_default())
        {
            let count = waits_for.entry(dependant).or_default();
            *count -= 1;
            if *count == 0 && left.contains_key(dependant) {
                ready.insert(dependant);
            }
        }
        ordered.extend(next);
    }
}

/// Takes out all plugins of a cycle, in order: once the first is there, the others have one provider less to wait for.
fn cycle<'a>(left: &mut BTreeMap<&'a PluginId, Needs<'a>>, first: &'a PluginId) -> Vec<&'a PluginId> {
    let members = reached(left, first, |needs| &needs.all);
    left.remove(first);
    let others = members.into_iter().filter_map(|member| left.remove_entry(member));
    let others = providers_first(others.collect());
    std::iter::once(first).chain(others).collect()
}

/// Members of a cycle that needs nothing outside reach fewer plugins than whatever needs the cycle.
fn first_of_a_cycle<'a>(left: &BTreeMap<&'a PluginId, Needs<'a>>) -> Option<&'a PluginId> {
    left.keys().copied().min_by_key(|plugin| {
        let all = reached(left, plugin, |needs| &needs.all);
        let required = reached(left, plugin, |needs| &needs.required);
        (all.len(), required.len(), *plugin)
    })
}

/// Which of those that are left a plugin reaches, itself among them.
fn reached<'a>(
    left: &BTreeMap<&'a PluginId, Needs<'a>>,
    from: &'a PluginId,
    edges: impl for<'n> Fn(&'n Needs<'a>) -> &'n BTreeSet<&'a PluginId>,
) -> BTreeSet<&'a PluginId> {
    let mut seen = BTreeSet::from([from]);
    let mut to_visit = vec![from];
    while let Some(needs) = to_visit.pop().and_then(|plugin| left.get(plugin)) {
        for next in edges(needs) {
            if left.contains_key(next) && seen.insert(next) {
                to_visit.push(next);
            }
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a: b c?` means that a requires b and goes with c.
    fn order(text: &str) -> String {
        let lines: Vec<_> = text.split(", ").map(|line| line.split_once(':').unwrap()).collect();
        let words = |text: &str| {
            text.split_whitespace()
                .map(|w| PluginId::parse(w.trim_end_matches('?')).unwrap())
                .collect::<Vec<_>>()
        };
        let parsed: Vec<_> = lines
            .iter()
            .map(|(plugin, needs)| {
                let required = needs
                    .split_whitespace()
                    .map(|need| !need.ends_with('?'))
                    .collect::<Vec<_>>();
                (words(plugin).remove(0), words(needs), required)
            })
            .collect();
        let left = parsed.iter().map(|(plugin, needs, required)| {
            let mut all = Needs::default();
            needs
                .iter()
                .zip(required)
                .for_each(|(need, required)| all.add(need, *required));
            (plugin, all)
        });
        let ordered = providers_first(left.collect());
        ordered
            .iter()
            .map(|plugin| plugin.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn providers_come_before_dependants_and_else_ids_decide() {
        assert_eq!(
            order("crm: contacts, contacts:, aaa:, billing: contacts"),
            "aaa contacts billing crm"
        );
    }

    #[test]
    fn a_cycle_begins_with_its_smallest_id_after_what_it_needs_and_before_what_needs_it() {
        assert_eq!(
            order("user: ring-b, ring-b: ring-c, ring-c: ring-b base, base:"),
            "base ring-b ring-c user"
        );
        assert_eq!(order("aa: bb, bb: cc, cc: bb"), "bb cc aa");
    }

    #[test]
    fn a_cycle_is_cut_where_a_plugin_is_only_gone_with() {
        assert_eq!(order("aa: bb, bb: aa?"), "bb aa");
        assert_eq!(order("aa: bb?, bb: aa"), "aa bb");
    }
}

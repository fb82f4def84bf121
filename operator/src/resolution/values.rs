//! Sets of a variable's values, for the solver.

use std::fmt;

use pubgrub::VersionSet;

/// A value of a variable: its place in the order of preference, 0 is best.
pub(super) type Value = u32;

const BITS: u32 = u64::BITS;

/// A set of values, as bits. Sets are closed under complement: what lies beyond the last word is all in or all out.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Values {
    /// Canonical: the last word differs from what lies beyond.
    words: Vec<u64>,
    beyond: bool,
}

impl Values {
    /// The best one.
    pub(super) fn first(&self) -> Option<Value> {
        let found = (0..=self.words.len()).find(|index| self.word(*index) != 0)?;
        Some(u32::try_from(found).ok()? * BITS + self.word(found).trailing_zeros())
    }

    /// The values below a limit.
    pub(super) fn below(&self, limit: usize) -> impl Iterator<Item = Value> + '_ {
        (0..u32::try_from(limit).unwrap_or(u32::MAX)).filter(|value| self.contains(value))
    }

    fn word(&self, index: usize) -> u64 {
        let beyond = if self.beyond { u64::MAX } else { 0 };
        self.words.get(index).copied().unwrap_or(beyond)
    }

    fn canonical(mut words: Vec<u64>, beyond: bool) -> Self {
        let rest = if beyond { u64::MAX } else { 0 };
        while words.last() == Some(&rest) {
            words.pop();
        }
        Self { words, beyond }
    }

    fn place(value: Value) -> (usize, u64) {
        ((value / BITS) as usize, 1 << (value % BITS))
    }
}

impl FromIterator<Value> for Values {
    fn from_iter<I: IntoIterator<Item = Value>>(values: I) -> Self {
        let mut words = vec![];
        for value in values {
            let (index, bit) = Self::place(value);
            if words.len() <= index {
                words.resize(index + 1, 0);
            }
            words[index] |= bit;
        }
        Self::canonical(words, false)
    }
}

impl VersionSet for Values {
    type V = Value;

    fn empty() -> Self {
        Self {
            words: vec![],
            beyond: false,
        }
    }

    fn singleton(value: Value) -> Self {
        std::iter::once(value).collect()
    }

    fn complement(&self) -> Self {
        Self {
            words: self.words.iter().map(|word| !word).collect(),
            beyond: !self.beyond,
        }
    }

    fn intersection(&self, other: &Self) -> Self {
        let length = self.words.len().max(other.words.len());
        let words = (0..length).map(|index| self.word(index) & other.word(index)).collect();
        Self::canonical(words, self.beyond && other.beyond)
    }

    fn union(&self, other: &Self) -> Self {
        let length = self.words.len().max(other.words.len());
        let words = (0..length).map(|index| self.word(index) | other.word(index)).collect();
        Self::canonical(words, self.beyond || other.beyond)
    }

    fn contains(&self, value: &Value) -> bool {
        let (index, bit) = Self::place(*value);
        self.word(index) & bit != 0
    }

    fn is_disjoint(&self, other: &Self) -> bool {
        let length = self.words.len().max(other.words.len());
        (0..=length).all(|index| self.word(index) & other.word(index) == 0)
    }

    fn subset_of(&self, other: &Self) -> bool {
        let length = self.words.len().max(other.words.len());
        (0..=length).all(|index| self.word(index) & !other.word(index) == 0)
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values: Vec<_> = self.below(self.words.len() * BITS as usize).collect();
        let beyond = if self.beyond { " and beyond" } else { "" };
        write!(f, "{values:?}{beyond}")
    }
}

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Large enough for three words.
    const LIMIT: u32 = 150;

    fn model(values: &Values) -> BTreeSet<Value> {
        values.below(LIMIT as usize).collect()
    }

    fn any_set() -> impl Strategy<Value = Values> {
        (prop::collection::vec(0..LIMIT, 0..12), any::<bool>()).prop_map(|(values, complement)| {
            let values: Values = values.into_iter().collect();
            if complement { values.complement() } else { values }
        })
    }

    proptest! {
        #[test]
        fn sets_of_values_are_sets(a in any_set(), b in any_set()) {
            let (x, y) = (model(&a), model(&b));
            prop_assert_eq!(model(&a.intersection(&b)), &x & &y);
            prop_assert_eq!(model(&a.union(&b)), &x | &y);
            prop_assert_eq!(model(&a.complement()), (0..LIMIT).filter(|value| !x.contains(value)).collect());
            prop_assert_eq!(a.complement().complement(), a.clone());
            prop_assert_eq!(a.is_disjoint(&b), a.intersection(&b) == Values::empty());
            prop_assert_eq!(a.subset_of(&b), a.intersection(&b) == a);
            prop_assert_eq!(a.union(&b), a.complement().intersection(&b.complement()).complement());
            prop_assert_eq!(a.first().filter(|first| *first < LIMIT), x.first().copied());
        }
    }
}

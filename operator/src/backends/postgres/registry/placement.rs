//! Which pool a new tenant gets: a pure function of what is offered and how full it is.

use std::collections::BTreeMap;

use super::{PlacementError, PoolKind, PoolOffer, PoolRequest};

/// Tenants on each pool of one kind.
pub(super) type Load = BTreeMap<String, u64>;

/// The named pool if it has room, else the open pool with room of which the smallest part is taken; of equals the
/// first by name. A pool that is closed takes only tenants that name it.
pub(super) fn choose(kind: PoolKind, request: &PoolRequest, load: &Load) -> Result<String, PlacementError> {
    let candidates: Vec<&PoolOffer> = match &request.wanted {
        Some(wanted) => {
            let named = request.offers.iter().find(|offer| offer.name == *wanted);
            vec![named.ok_or_else(|| PlacementError::UnknownPool {
                kind,
                wanted: wanted.clone(),
                known: request.offers.iter().map(|offer| offer.name.clone()).collect(),
            })?]
        }
        None => request.offers.iter().filter(|offer| offer.open).collect(),
    };
    let taken = |offer: &PoolOffer| load.get(&offer.name).copied().unwrap_or(0);
    let with_room = candidates
        .iter()
        .filter(|offer| taken(offer) < u64::from(offer.capacity));
    let least = with_room.min_by(|a, b| {
        // taken(a) / capacity(a) against taken(b) / capacity(b), in whole numbers; no capacity is 0 here.
        let left = u128::from(taken(a)) * u128::from(b.capacity);
        let right = u128::from(taken(b)) * u128::from(a.capacity);
        left.cmp(&right).then_with(|| a.name.cmp(&b.name))
    });
    least
        .map(|offer| offer.name.clone())
        .ok_or_else(|| PlacementError::PoolFull {
            kind,
            pools: candidates.iter().map(|offer| offer.name.clone()).collect(),
            capacity: candidates.iter().map(|offer| u64::from(offer.capacity)).sum(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(wanted: Option<&str>, offers: &[(&str, u32, bool)]) -> PoolRequest {
        let offer = |(name, capacity, open): &(&str, u32, bool)| PoolOffer {
            name: (*name).to_owned(),
            capacity: *capacity,
            open: *open,
        };
        PoolRequest {
            wanted: wanted.map(str::to_owned),
            offers: offers.iter().map(offer).collect(),
        }
    }

    fn load(taken: &[(&str, u64)]) -> Load {
        taken.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    fn chosen(request: &PoolRequest, taken: &[(&str, u64)]) -> String {
        choose(PoolKind::Postgres, request, &load(taken)).unwrap()
    }

    #[test]
    fn the_pool_with_the_smallest_part_taken_is_chosen() {
        let offers = request(None, &[("small", 10, true), ("big", 1000, true)]);
        assert_eq!(chosen(&offers, &[("small", 5), ("big", 400)]), "big");
        assert_eq!(chosen(&offers, &[("small", 3), ("big", 400)]), "small");
        assert_eq!(chosen(&offers, &[]), "big", "of equals the first by name");
    }

    #[test]
    fn a_closed_pool_takes_only_who_names_it() {
        let offers = [("a", 10, false), ("b", 10, true)];
        assert_eq!(chosen(&request(None, &offers), &[("b", 9)]), "b");
        assert_eq!(chosen(&request(Some("a"), &offers), &[]), "a");
    }

    #[test]
    fn a_full_pool_is_refused_with_its_capacity() {
        let refused = choose(
            PoolKind::S3,
            &request(Some("a"), &[("a", 2, true), ("b", 9, true)]),
            &load(&[("a", 2)]),
        );
        assert_eq!(
            refused.unwrap_err().to_string(),
            "no room in s3 pool(s) a (capacity 2 in all)"
        );
        let refused = choose(
            PoolKind::S3,
            &request(None, &[("a", 0, true), ("b", 9, false)]),
            &load(&[]),
        );
        assert!(matches!(refused, Err(PlacementError::PoolFull { pools, .. }) if pools == ["a"]));
    }

    #[test]
    fn an_unknown_pool_is_refused_with_the_known_ones() {
        let refused = choose(
            PoolKind::Postgres,
            &request(Some("x"), &[("a", 2, true), ("b", 9, true)]),
            &load(&[]),
        );
        assert_eq!(
            refused.unwrap_err().to_string(),
            "postgres pool `x` is unknown; the platform has: a, b"
        );
    }
}

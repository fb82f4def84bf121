//! Which release RED runs.

use plexica_crds::version_range::VersionRange;
use semver::Version;

/// The newest of the releases that the range admits, pre-releases included ([`VersionRange::admits`]). Nothing else of the
/// tenant has a say in it, and it has none in anything else.
pub fn choose<'a, T>(range: &VersionRange, releases: impl IntoIterator<Item = (Version, &'a T)>) -> Option<&'a T> {
    let admitted = releases.into_iter().filter(|(version, _)| range.admits(version));
    let newest = admitted.max_by(|(one, _), (other, _)| one.cmp(other));
    newest.map(|(_, release)| release)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELEASES: [&str; 5] = ["1.9.0", "2.0.0-rc.10", "2.0.0-rc.9", "1.10.0", "2.1.0-beta"];

    fn chosen(range: &str) -> Option<&'static str> {
        let releases = RELEASES.iter().map(|text| (text.parse().unwrap(), text));
        choose(&range.parse().unwrap(), releases).copied()
    }

    #[test]
    fn the_newest_release_that_fits_is_chosen_and_may_be_a_pre_release() {
        for (range, version) in [
            ("*", Some("2.1.0-beta")),
            ("^1", Some("1.10.0")),
            ("~2.0", Some("2.0.0-rc.10")),
            ("=2.0.0-rc.9", Some("2.0.0-rc.9")),
            ("=2.0.0", None),
            ("^3", None),
        ] {
            assert_eq!(chosen(range), version, "{range}");
        }
    }
}

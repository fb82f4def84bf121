//! What the Secret holds, and what becomes of it by each step.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::ResourceExt;
use secrecy::ExposeSecret;

use super::{
    pair::Pair,
    rotation::{Stage, View},
};

/// Annotation on the Secret: when the stage of a rotation began.
pub const ANNOTATION_SINCE: &str = "plexica.io/rotation-since";
/// Annotation on the Secret by which a person asks for a new certificate now; its value means nothing. It is taken away
/// when that is done.
pub const ANNOTATION_ROTATE: &str = "plexica.io/rotate";

const CURRENT: [&str; 3] = ["ca.crt", "tls.crt", "tls.key"];
const NEXT: [&str; 3] = ["next-ca.crt", "next-tls.crt", "next-tls.key"];
const PREVIOUS: &str = "previous-ca.crt";

/// The certificates.
#[derive(Clone)]
pub struct State {
    current: Pair,
    beside: Beside,
    asked: bool,
}

/// What there is beside the present certificate.
#[derive(Clone)]
enum Beside {
    Nothing,
    Next(Box<Pair>, Timestamp),
    /// Only the authority.
    Previous(String, Timestamp),
}

impl State {
    /// The first certificate, or a new beginning.
    pub fn new(current: Pair) -> Self {
        Self {
            current,
            beside: Beside::Nothing,
            asked: false,
        }
    }

    /// What a Secret holds; nothing if its certificate cannot be served under this name. What cannot be read beside it
    /// is as if it were not there.
    pub fn read(secret: &Secret, name: &str) -> Option<Self> {
        let text = |key: &str| {
            let value = secret.data.as_ref()?.get(key)?;
            std::str::from_utf8(&value.0).ok()
        };
        let pair = |[authority, certificate, key]: [&str; 3]| {
            Pair::read(name, text(authority)?, text(certificate)?, text(key)?).ok()
        };
        let since = secret.annotations().get(ANNOTATION_SINCE);
        let since: Option<Timestamp> = since.and_then(|text| text.parse().ok());
        let beside = match (since, pair(NEXT), text(PREVIOUS)) {
            (Some(since), Some(next), _) => Beside::Next(Box::new(next), since),
            (Some(since), None, Some(previous)) => Beside::Previous(previous.to_owned(), since),
            (None, _, _) | (Some(_), None, None) => Beside::Nothing,
        };
        Some(Self {
            current: pair(CURRENT)?,
            beside,
            asked: secret.annotations().contains_key(ANNOTATION_ROTATE),
        })
    }

    /// Writes it into the Secret, in place of all that it held.
    pub fn write(&self, secret: &mut Secret) {
        let mut data = BTreeMap::new();
        let mut put = |key: &str, text: &str| data.insert(key.to_owned(), ByteString(text.as_bytes().to_vec()));
        let mut put_pair = |[authority, certificate, key]: [&str; 3], pair: &Pair| {
            put(authority, &pair.authority);
            put(certificate, &pair.certificate);
            put(key, pair.key.expose_secret());
        };
        put_pair(CURRENT, &self.current);
        let since = match &self.beside {
            Beside::Nothing => None,
            Beside::Next(next, since) => {
                put_pair(NEXT, next);
                Some(since)
            }
            Beside::Previous(previous, since) => {
                put(PREVIOUS, previous);
                Some(since)
            }
        };
        let annotations = secret.annotations_mut();
        match since {
            Some(since) => annotations.insert(ANNOTATION_SINCE.to_owned(), since.to_string()),
            None => annotations.remove(ANNOTATION_SINCE),
        };
        if !self.asked {
            annotations.remove(ANNOTATION_ROTATE);
        }
        secret.data = Some(data);
    }

    /// What decides about the next step.
    pub fn view(&self) -> View {
        View {
            issued: self.current.issued,
            expires: self.current.expires,
            stage: match &self.beside {
                Beside::Nothing => Stage::Steady,
                Beside::Next(_, since) => Stage::Announced(*since),
                Beside::Previous(_, since) => Stage::Switched(*since),
            },
            asked: self.asked,
        }
    }

    /// The certificate to serve with.
    pub fn current(&self) -> &Pair {
        &self.current
    }

    /// The authorities to trust, PEM.
    pub fn bundle(&self) -> String {
        let beside = match &self.beside {
            Beside::Nothing => "",
            Beside::Next(next, _) => &next.authority,
            Beside::Previous(previous, _) => previous,
        };
        [self.current.authority.as_str(), beside].concat()
    }

    /// With the next certificate announced; whoever asked for it has been heard.
    #[must_use]
    pub fn announced(self, next: Pair, now: Timestamp) -> Self {
        Self {
            beside: Beside::Next(Box::new(next), now),
            asked: false,
            ..self
        }
    }

    /// With the next certificate in use.
    #[must_use]
    pub fn switched(self, now: Timestamp) -> Self {
        match self.beside {
            Beside::Next(next, _) => Self {
                beside: Beside::Previous(self.current.authority, now),
                current: *next,
                ..self
            },
            Beside::Nothing | Beside::Previous(..) => self,
        }
    }

    /// Without what was beside the present certificate.
    #[must_use]
    pub fn retired(self) -> Self {
        Self {
            beside: Beside::Nothing,
            ..self
        }
    }

    /// With its stage begun anew: until now nobody can have heard of all authorities.
    #[must_use]
    pub fn begun_anew(self, now: Timestamp) -> Self {
        let beside = match self.beside {
            Beside::Nothing => Beside::Nothing,
            Beside::Next(next, _) => Beside::Next(next, now),
            Beside::Previous(previous, _) => Beside::Previous(previous, now),
        };
        Self { beside, ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NAME: &str = "hooks.initech.svc";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn pair(seconds: i64) -> Pair {
        Pair::make(NAME, at(seconds), Duration::from_mins(15)).unwrap()
    }

    fn kept(state: &State) -> State {
        let mut secret = Secret::default();
        state.write(&mut secret);
        State::read(&secret, NAME).unwrap()
    }

    #[test]
    fn a_rotation_trusts_old_and_new_until_it_is_over() {
        let (old, new) = (pair(0), pair(600));
        let trusts = |state: &State, pair: &Pair| state.bundle().contains(&pair.authority);
        let announced = kept(&State::new(old.clone()).announced(new.clone(), at(600)));
        assert_eq!(announced.view().stage, Stage::Announced(at(600)));
        assert_eq!(announced.current().certificate, old.certificate);
        assert!(trusts(&announced, &old) && trusts(&announced, &new));
        let switched = kept(&announced.switched(at(700)));
        assert_eq!(switched.view().stage, Stage::Switched(at(700)));
        assert_eq!(switched.current().certificate, new.certificate);
        assert!(trusts(&switched, &old) && trusts(&switched, &new));
        let over = kept(&switched.begun_anew(at(710)).retired());
        assert_eq!(over.view().stage, Stage::Steady);
        assert!(!trusts(&over, &old) && trusts(&over, &new));
    }

    #[test]
    fn who_asks_for_a_new_certificate_is_heard_once() {
        let mut secret = Secret::default();
        State::new(pair(0)).write(&mut secret);
        secret
            .annotations_mut()
            .insert(ANNOTATION_ROTATE.into(), "leaked".into());
        let asked = State::read(&secret, NAME).unwrap();
        assert!(asked.view().asked);
        // Telling the configuration does not do it.
        asked.clone().begun_anew(at(1)).write(&mut secret);
        assert!(State::read(&secret, NAME).unwrap().view().asked);
        asked.announced(pair(1), at(1)).write(&mut secret);
        assert!(!State::read(&secret, NAME).unwrap().view().asked);
    }

    #[test]
    fn a_secret_that_holds_nothing_to_serve_with_is_none() {
        assert!(State::read(&Secret::default(), NAME).is_none());
        let mut secret = Secret::default();
        State::new(pair(0)).write(&mut secret);
        assert!(State::read(&secret, "hooks.hooli.svc").is_none());
        secret.data.as_mut().unwrap().remove("tls.key");
        assert!(State::read(&secret, NAME).is_none());
    }

    #[test]
    fn a_next_certificate_that_cannot_be_read_is_made_again() {
        let mut secret = Secret::default();
        State::new(pair(0)).announced(pair(600), at(600)).write(&mut secret);
        secret
            .data
            .as_mut()
            .unwrap()
            .insert("next-tls.key".into(), ByteString(b"odd".to_vec()));
        assert_eq!(State::read(&secret, NAME).unwrap().view().stage, Stage::Steady);
    }
}

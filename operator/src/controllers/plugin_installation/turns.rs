//! Whose turn it is at an installation: a pass's, or a request's that is carried out at once. Passes wait while requests are
//! carried out, here or elsewhere, and until EndpointSlices have followed them.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// How long passes are put off, over whatever installation: so long the API server's time belongs to those who follow a
/// switch, EndpointSlices and other switches.
const FOLLOWED_IN: Duration = Duration::from_millis(100);
/// How much longer they are for each request that came with others: that takes the API server, and the controller of
/// EndpointSlices, about so long, and a pass beside it several times that.
const EACH_FOLLOWED_IN: Duration = Duration::from_millis(20);
/// How long passes are put off at most, while one request comes after the other. Then a few begin.
const PUT_OFF_FOR: Duration = Duration::from_secs(2);
/// How many passes are under way at most beside such requests.
const BESIDE: usize = 2;
/// How long the others are put off at most, and those that have nothing to do but to follow a request that was carried out.
const FOLLOWS_FOR: Duration = Duration::from_secs(10);

/// How many requests of one tenant put off passes elsewhere within [`SHARE_LASTS`]; those after them put off passes of their own
/// installation only. What so many can put off, [`FOLLOWED_IN`] and [`EACH_FOLLOWED_IN`] each, is less than [`PUT_OFF_FOR`].
const SHARE: u32 = 10;
/// How long a tenant's share has to do.
const SHARE_LASTS: Duration = Duration::from_secs(10);

/// Whose turn it is at an installation, by uid: a request that is carried out, or a pass. A pass that began before the request came
/// does not know of it, and would take the turned Service for somebody's doing; so no request is carried out beside it.
#[derive(Default)]
pub struct InHand {
    turns: Mutex<Turns>,
    /// A pass is to give way.
    given_up: Notify,
}

#[derive(Default)]
struct Turns {
    of: HashMap<String, Turn>,
    requests: Option<Requests>,
    /// What tenants have had of their shares.
    shares: HashMap<String, Share>,
}

/// How many requests of a tenant have put off passes elsewhere, from when on.
struct Share {
    since: Instant,
    had: u32,
}

/// Requests that came one after the other.
struct Requests {
    began: Instant,
    /// When the last one was carried out.
    last: Instant,
    /// How many they are, without those that came to nothing.
    count: u32,
    /// How many are being carried out.
    in_hand: usize,
}

enum Turn {
    /// A request that is being carried out.
    Request,
    /// A request that was: passes are put off until then.
    Followed(Instant),
    /// A pass.
    Pass(UnderWay),
    /// A request that came during a pass, which is over.
    Missed,
}

/// A pass that is under way.
#[derive(Default)]
struct UnderWay {
    /// A request came during it.
    is_asked: bool,
    /// It waits for a backend: for a request it is given up.
    gives_way: bool,
}

/// The turn of a pass; it ends with this.
pub struct PassTurn<'a> {
    all: &'a InHand,
    uid: String,
}

impl Drop for PassTurn<'_> {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        if let Some(Turn::Pass(UnderWay { is_asked: true, .. })) = all.of.remove(&self.uid) {
            all.of.insert(self.uid.clone(), Turn::Missed);
        }
    }
}

/// A request that may be carried out.
#[must_use]
pub struct Request {
    uid: String,
    /// It puts off passes elsewhere.
    counts: bool,
}

/// The turn of a request; it ends with this.
pub struct RequestTurn<'a> {
    all: &'a InHand,
    request: Request,
    came_to_nothing: bool,
}

impl RequestTurn<'_> {
    /// Nothing was to be switched, or it could not be: nobody elsewhere is put off for it any more.
    pub fn came_to_nothing(&mut self) {
        self.came_to_nothing = true;
    }
}

impl Drop for RequestTurn<'_> {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        let now = Instant::now();
        let Request { uid, counts } = &self.request;
        all.of.insert(uid.clone(), Turn::Followed(now + FOLLOWED_IN));
        if *counts {
            all.end(now, self.came_to_nothing);
        }
    }
}

impl PassTurn<'_> {
    /// Waits until the pass is to be given up: it waits for a backend, and a person asks for a switch.
    pub async fn given_up(&self) {
        let is_so = |under_way: &mut UnderWay| under_way.is_asked && under_way.gives_way;
        loop {
            let mut news = pin!(self.all.given_up.notified());
            news.as_mut().enable();
            if self.all.under_way(&self.uid, is_so) == Some(true) {
                return;
            }
            news.await;
        }
    }
}

/// Ends when an answer is there, or is not waited for any more.
struct GivesWay<'a> {
    all: &'a InHand,
    uid: &'a str,
}

impl Drop for GivesWay<'_> {
    fn drop(&mut self) {
        self.all.under_way(self.uid, |under_way| under_way.gives_way = false);
    }
}

impl InHand {
    /// The turn of a pass over an installation. `is_urgent`: a person asks for a switch there, which could not be done at once, or
    /// its Service leads elsewhere than it should; such a pass waits for no other.
    ///
    /// # Errors
    /// A request is being carried out, here or elsewhere: how long the pass is put off.
    pub fn pass(&self, uid: &str, is_urgent: bool) -> Result<PassTurn<'_>, Duration> {
        let mut all = self.lock();
        let now = Instant::now();
        if let Some(until) = all.put_off(uid, is_urgent, now) {
            return Err(until - now);
        }
        all.of.insert(uid.to_owned(), Turn::Pass(UnderWay::default()));
        Ok(PassTurn {
            all: self,
            uid: uid.to_owned(),
        })
    }

    /// Waits, during a pass, for the answer of a backend, which may take long. Only reads and what is safe to be killed at is waited
    /// for so: the pass is dropped here for a request.
    pub async fn giving_way<T>(&self, uid: &str, answer: impl Future<Output = T>) -> T {
        let _until_then = GivesWay { all: self, uid };
        self.under_way(uid, |under_way| under_way.gives_way = true);
        self.given_up.notify_waiters();
        answer.await
    }

    /// A request of a tenant, if it may be carried out: no pass is under way. If one is, that is remembered.
    pub fn request(&self, uid: &str, tenant: &str) -> Option<Request> {
        if self.under_way(uid, |under_way| under_way.is_asked = true).is_some() {
            self.given_up.notify_waiters();
            return None;
        }
        let mut all = self.lock();
        let counts = all.note(tenant, Instant::now());
        all.of.insert(uid.to_owned(), Turn::Request);
        let uid = uid.to_owned();
        Some(Request { uid, counts })
    }

    /// The turn of a request that may be carried out.
    pub fn carrying_out(&self, request: Request) -> RequestTurn<'_> {
        RequestTurn {
            all: self,
            request,
            came_to_nothing: false,
        }
    }

    /// Looks at, or changes, what is known of the pass that is under way, if one is.
    fn under_way<T>(&self, uid: &str, look: impl FnOnce(&mut UnderWay) -> T) -> Option<T> {
        match self.lock().of.get_mut(uid)? {
            Turn::Pass(under_way) => Some(look(under_way)),
            Turn::Request | Turn::Followed(_) | Turn::Missed => None,
        }
    }

    /// Whether a request came during the last pass; it is told once.
    pub fn missed(&self, uid: &str) -> bool {
        let mut all = self.lock();
        let missed = matches!(all.of.get(uid), Some(Turn::Missed));
        if missed {
            all.of.remove(uid);
        }
        missed
    }

    fn lock(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turns {
    /// How many passes are under way.
    fn passes(&self) -> usize {
        let turns = self.of.values();
        turns.filter(|turn| matches!(turn, Turn::Pass(_))).count()
    }

    /// Until when a pass is put off, if it is.
    fn put_off(&self, uid: &str, is_urgent: bool, now: Instant) -> Option<Instant> {
        let here = match self.of.get(uid) {
            Some(Turn::Request) => return Some(now + FOLLOWED_IN),
            Some(Turn::Followed(until)) => Some(*until),
            Some(Turn::Pass(_) | Turn::Missed) | None => None,
        };
        let elsewhere = match (&self.requests, here, is_urgent) {
            (Some(requests), None, false) if self.passes() < BESIDE => Some(requests.followed(now, PUT_OFF_FOR)),
            (Some(requests), None, false) | (Some(requests), Some(_), _) => Some(requests.followed(now, FOLLOWS_FOR)),
            (Some(_), None, true) | (None, ..) => None,
        };
        here.max(elsewhere).filter(|until| *until > now)
    }

    /// A tenant's request begins; whether it puts off passes elsewhere.
    fn note(&mut self, tenant: &str, now: Instant) -> bool {
        self.shares.retain(|_, share| now < share.since + SHARE_LASTS);
        let share = self.shares.entry(tenant.to_owned());
        let share = share.or_insert(Share { since: now, had: 0 });
        if share.had >= SHARE {
            return false;
        }
        // Had for good: also by what comes to nothing.
        share.had += 1;
        match &mut self.requests {
            Some(requests) if requests.in_hand > 0 || now <= requests.last + requests.followed_in() => {
                requests.count += 1;
                requests.in_hand += 1;
            }
            other => {
                *other = Some(Requests {
                    began: now,
                    last: now,
                    count: 1,
                    in_hand: 1,
                });
            }
        }
        true
    }

    /// A request ends that put off passes elsewhere.
    fn end(&mut self, now: Instant, came_to_nothing: bool) {
        let Some(requests) = &mut self.requests else { return };
        requests.in_hand = requests.in_hand.saturating_sub(1);
        if came_to_nothing {
            requests.count = requests.count.saturating_sub(1);
        } else {
            requests.last = now;
        }
        if requests.count == 0 {
            self.requests = None;
        }
    }
}

impl Requests {
    /// Until when passes are put off, at most `limit` from the first on. While others are being carried out, it is looked again later.
    fn followed(&self, now: Instant, limit: Duration) -> Instant {
        let last = if self.in_hand > 0 { now } else { self.last };
        (last + self.followed_in()).min(self.began + limit)
    }

    /// How long after the last one EndpointSlices have followed them all.
    fn followed_in(&self) -> Duration {
        (FOLLOWED_IN + EACH_FOLLOWED_IN * self.count.saturating_sub(1)).min(PUT_OFF_FOR)
    }
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;

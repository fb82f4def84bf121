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
mod tests {
    use super::*;
    use futures::{FutureExt, future};

    fn carry_out(all: &InHand, uid: &str, tenant: &str) {
        drop(all.carrying_out(all.request(uid, tenant).unwrap()));
    }

    /// How long a pass elsewhere is put off while a tenant asks every 20 ms, for ten seconds of each thirteen. Two passes are under
    /// way all the time.
    fn put_off_by_one_tenant(minutes: u64, came_to_nothing: bool) -> Duration {
        let mut turns = Turns::default();
        for uid in ["two", "three"] {
            turns.of.insert(uid.to_owned(), Turn::Pass(UnderWay::default()));
        }
        let (began, step) = (Instant::now(), Duration::from_millis(20));
        let (mut put_off, mut after) = (Duration::ZERO, Duration::ZERO);
        while after < Duration::from_mins(minutes) {
            let now = began + after;
            let asks = after.as_secs() % 13 < 10;
            let counts = asks && turns.note("acme", now);
            if turns.put_off("elsewhere", false, now).is_some() {
                put_off += step;
            }
            if counts {
                turns.end(now, came_to_nothing);
            }
            after += step;
        }
        put_off
    }

    #[test]
    fn a_tenant_that_asks_without_end_puts_passes_of_others_off_for_a_fifth_of_the_time_at_most() {
        let put_off = put_off_by_one_tenant(5, false);
        assert!(put_off < Duration::from_mins(1), "{put_off:?} of 5 minutes");
        assert!(FOLLOWED_IN * SHARE + EACH_FOLLOWED_IN * SHARE * (SHARE - 1) / 2 < PUT_OFF_FOR);
    }

    #[test]
    fn what_comes_to_nothing_puts_nobody_off_once_that_is_known() {
        assert!(put_off_by_one_tenant(5, true) < Duration::from_secs(10));
        let all = InHand::default();
        let mut turn = all.carrying_out(all.request("one", "acme").unwrap());
        assert!(all.pass("other", false).is_err());
        turn.came_to_nothing();
        drop(turn);
        assert!(all.pass("other", false).is_ok());
    }

    #[test]
    fn switches_of_many_tenants_put_passes_off_together_whatever_one_of_them_asks_for_beside() {
        let all = InHand::default();
        for request in 0..=SHARE {
            carry_out(&all, &format!("greedy {request}"), "greedy");
        }
        assert_eq!(all.lock().requests.as_ref().map(|found| found.count), Some(SHARE));
        assert!(
            all.pass(&format!("greedy {SHARE}"), false).is_err(),
            "its own passes wait"
        );
        for tenant in 0..20 {
            for plugin in 0..5 {
                carry_out(&all, &format!("{plugin} of {tenant}"), &tenant.to_string());
            }
        }
        assert_eq!(all.lock().requests.as_ref().map(|found| found.count), Some(SHARE + 100));
    }

    #[test]
    fn a_request_puts_passes_off_and_a_pass_keeps_requests_out() {
        let all = InHand::default();
        let pass = all.pass("one", false).ok();
        assert!(pass.is_some());
        assert!(all.request("one", "acme").is_none());
        carry_out(&all, "other", "acme");
        assert!(all.pass("other", false).is_err_and(|wait| wait <= FOLLOWED_IN));
        assert!(!all.missed("one"));
        drop(pass);
        assert!(all.missed("one"));
        assert!(!all.missed("one"));
        let request = all.request("one", "acme").unwrap();
        assert!(!all.missed("one"));
        drop(all.carrying_out(request));
        // Its time is over.
        let mut turns = all.lock();
        turns.of.insert("one".to_owned(), Turn::Followed(Instant::now()));
        turns.requests = None;
        drop(turns);
        drop(all.pass("one", false).ok());
        assert!(!all.lock().of.contains_key("one"));
    }

    #[test]
    fn no_pass_begins_while_a_request_is_carried_out_there_however_long_that_takes() {
        let all = InHand::default();
        let turn = all.carrying_out(all.request("one", "acme").unwrap());
        let mut turns = all.lock();
        turns.requests = None;
        drop(turns);
        assert!(all.pass("one", true).is_err());
        drop(turn);
        assert!(matches!(all.lock().of.get("one"), Some(Turn::Followed(_))));
    }

    #[test]
    fn a_pass_is_given_up_for_a_request_while_it_waits_for_a_backend_and_only_then() {
        let all = InHand::default();
        let pass = all.pass("one", false).unwrap_or_else(|_| unreachable!("it is free"));
        assert!(all.request("one", "acme").is_none());
        assert!(pass.given_up().now_or_never().is_none());
        let mut waits = Box::pin(all.giving_way("one", future::pending::<()>()));
        assert!(waits.as_mut().now_or_never().is_none());
        assert!(pass.given_up().now_or_never().is_some());
        drop(waits);
        assert!(pass.given_up().now_or_never().is_none());
        drop(pass);
        assert!(all.missed("one"));
    }

    #[tokio::test]
    async fn whoever_waits_for_it_is_told_that_a_pass_is_given_up() {
        let all = InHand::default();
        let pass = all.pass("one", false).unwrap_or_else(|_| unreachable!("it is free"));
        let given_up = async {
            tokio::select! {
                () = all.giving_way("one", future::pending()) => false,
                () = pass.given_up() => true,
            }
        };
        let (given_up, is_free) = tokio::join!(given_up, async { all.request("one", "acme").is_some() });
        assert!(given_up && !is_free);
    }

    #[test]
    fn beside_requests_that_do_not_end_a_few_passes_begin_and_later_all() {
        let all = InHand::default();
        let came = |ago: Duration| {
            let _asked = all.request("one", "acme").unwrap();
            let began = Instant::now().checked_sub(ago);
            all.lock().requests.as_mut().unwrap().began = began.unwrap();
        };
        came(PUT_OFF_FOR);
        let passes = ["two", "three", "four"].map(|uid| all.pass(uid, false).ok());
        assert_eq!(passes.iter().flatten().count(), BESIDE);
        came(FOLLOWS_FOR);
        assert!(all.pass("four", false).is_ok());
    }

    #[test]
    fn requests_put_off_all_passes_but_not_for_ever() {
        let all = InHand::default();
        let request = all.request("one", "acme").unwrap();
        assert!(all.pass("other", false).is_err());
        assert!(all.pass("asked while a pass was under way", true).is_ok());
        drop(all.carrying_out(request));
        assert!(all.pass("other", false).is_err_and(|wait| wait <= FOLLOWED_IN));
        assert!(all.pass("one", true).is_err());
        let began = Instant::now();
        let mut turns = Turns::default();
        let followed = |turns: &Turns, now, limit| turns.requests.as_ref().map(|found| found.followed(now, limit));
        assert!(turns.note("acme", began));
        let now = began + 5 * FOLLOWED_IN;
        assert_eq!(followed(&turns, now, PUT_OFF_FOR), Some(now + FOLLOWED_IN));
        for moment in 1..50 {
            assert!(turns.note(&format!("tenant {moment}"), began + moment * FOLLOWED_IN));
        }
        let now = began + 50 * FOLLOWED_IN;
        assert_eq!(followed(&turns, now, PUT_OFF_FOR), Some(began + PUT_OFF_FOR));
        let all_followed = FOLLOWED_IN + 49 * EACH_FOLLOWED_IN;
        assert_eq!(followed(&turns, now, FOLLOWS_FOR), Some(now + all_followed));
        // The last of them was carried out.
        let requests = turns.requests.as_mut().unwrap();
        (requests.in_hand, requests.last) = (0, now);
        let later = now + FOLLOWED_IN;
        assert_eq!(followed(&turns, later, FOLLOWS_FOR), Some(now + all_followed));
        // Another one, when all of that is over, is the first of its own.
        let later = now + all_followed + FOLLOWED_IN;
        assert!(turns.note("acme", later));
        assert_eq!(followed(&turns, later, PUT_OFF_FOR), Some(later + FOLLOWED_IN));
    }
}

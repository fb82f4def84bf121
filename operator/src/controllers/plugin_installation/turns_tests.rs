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

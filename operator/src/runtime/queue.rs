//! Whose turn it is: a queue in which each object waits once. Pure.
//!
//! First come, first served, as with client-go's work queue. The scheduler of kube 5.0 keeps those who wait in a set
//! and takes whichever its hashes bring first: while more is asked for than can be done, the same objects wait again
//! and again, some for ever.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    hash::Hash,
};

use tokio::time::Instant;

/// When an object is due, and a number that tells two of one moment apart.
type Due = (Instant, u64);

/// Objects that wait for their turn, that have it, or that are due later.
pub struct Queue<T> {
    objects: HashMap<T, State>,
    waiting: VecDeque<T>,
    later: BTreeMap<Due, T>,
    number: u64,
}

enum State {
    /// Its turn comes at that time, unless it is asked for before.
    Later(Due),
    Waiting,
    Running,
    /// Asked for after its turn began: what it was asked for may not have been seen, so it waits again afterwards.
    RunningAndAsked,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            objects: HashMap::new(),
            waiting: VecDeque::new(),
            later: BTreeMap::new(),
            number: 0,
        }
    }
}

impl<T: Clone + Eq + Hash> Queue<T> {
    /// Puts an object last in the queue, unless it waits already.
    pub fn ask(&mut self, object: T) {
        match self.objects.get(&object) {
            Some(State::Waiting | State::RunningAndAsked) => {}
            Some(State::Running) => {
                self.objects.insert(object, State::RunningAndAsked);
            }
            Some(State::Later(due)) => {
                self.later.remove(due);
                self.wait(object);
            }
            None => self.wait(object),
        }
    }

    /// The object whose turn it is; the turn lasts until [`Self::end`].
    pub fn begin(&mut self, now: Instant) -> Option<T> {
        while let Some(due) = self.later.first_entry()
            && due.key().0 <= now
        {
            let object = due.remove();
            self.wait(object);
        }
        let object = self.waiting.pop_front()?;
        self.objects.insert(object.clone(), State::Running);
        Some(object)
    }

    /// Ends an object's turn; the next comes when it is asked for, or at that time.
    pub fn end(&mut self, object: T, next: Option<Instant>) {
        match (self.objects.remove(&object), next) {
            (Some(State::RunningAndAsked), _) => self.wait(object),
            (_, Some(at)) => {
                let due = (at, self.number);
                self.number += 1;
                self.later.insert(due, object.clone());
                self.objects.insert(object, State::Later(due));
            }
            (_, None) => {}
        }
    }

    /// When the next object is due that does not wait yet.
    pub fn next_due(&self) -> Option<Instant> {
        self.later.keys().next().map(|(at, _)| *at)
    }

    fn wait(&mut self, object: T) {
        self.objects.insert(object.clone(), State::Waiting);
        self.waiting.push_back(object);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn turns(queue: &mut Queue<&'static str>, now: Instant) -> Vec<&'static str> {
        std::iter::from_fn(|| queue.begin(now)).collect()
    }

    #[test]
    fn who_came_first_has_the_first_turn_and_each_waits_once() {
        let mut queue = Queue::default();
        for object in ["a", "b", "a", "c", "b"] {
            queue.ask(object);
        }
        assert_eq!(turns(&mut queue, Instant::now()), ["a", "b", "c"]);
    }

    #[test]
    fn who_is_asked_for_again_and_again_does_not_keep_others_from_their_turn() {
        let mut queue = Queue::default();
        queue.ask("quiet");
        queue.ask("busy");
        queue.ask("late");
        let mut order = vec![];
        for _ in 0..4 {
            let object = queue.begin(Instant::now()).unwrap();
            order.push(object);
            queue.ask("busy");
            queue.end(object, None);
        }
        assert_eq!(order, ["quiet", "busy", "late", "busy"]);
    }

    #[test]
    fn who_is_asked_for_in_its_turn_has_another_and_never_two_at_once() {
        let mut queue = Queue::default();
        let now = Instant::now();
        queue.ask("a");
        assert_eq!(queue.begin(now), Some("a"));
        queue.ask("a");
        queue.ask("a");
        assert_eq!(queue.begin(now), None);
        queue.end("a", Some(now + Duration::from_mins(10)));
        assert_eq!(queue.begin(now), Some("a"));
        queue.end("a", None);
        assert_eq!(queue.begin(now), None);
    }

    #[test]
    fn who_is_due_later_waits_from_then_on_or_from_when_it_is_asked_for() {
        let mut queue = Queue::default();
        let now = Instant::now();
        let minute = Duration::from_mins(1);
        for (object, after) in [("c", 2), ("b", 1), ("a", 3)] {
            queue.ask(object);
            assert_eq!(queue.begin(now), Some(object));
            queue.end(object, Some(now + after * minute));
        }
        assert_eq!(queue.next_due(), Some(now + minute));
        assert_eq!(queue.begin(now), None);
        queue.ask("a");
        assert_eq!(turns(&mut queue, now), ["a"]);
        assert_eq!(turns(&mut queue, now + 3 * minute), ["b", "c"]);
        assert_eq!(queue.next_due(), None);
    }
}

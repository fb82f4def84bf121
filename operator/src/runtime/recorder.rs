//! Publishes events, by kube's recorder, whose memory is bounded here.
//!
//! That recorder keeps each event for six minutes, so that the same event again is counted instead of published, and
//! forgets only when it publishes: a thousand installations leave some thousand events of 2 KiB in an operator at rest.

use std::sync::{Arc, Mutex, PoisonError};

use kube::{
    Client,
    runtime::events::{Recorder, Reporter},
};

/// Events that are remembered at most. An older one that comes again is published again.
const REMEMBERED: usize = 200;

/// A recorder that begins anew after some events.
#[derive(Clone)]
pub struct BoundedRecorder {
    client: Client,
    reporter: Reporter,
    current: Arc<Mutex<(Recorder, usize)>>,
}

impl BoundedRecorder {
    /// One that has published nothing.
    pub fn new(client: Client, reporter: Reporter) -> Self {
        let recorder = Recorder::new(client.clone(), reporter.clone());
        Self {
            client,
            reporter,
            current: Arc::new(Mutex::new((recorder, 0))),
        }
    }

    /// The recorder for the next event.
    pub fn for_next(&self) -> Recorder {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let (recorder, published) = &mut *current;
        if *published == REMEMBERED {
            *recorder = Recorder::new(self.client.clone(), self.reporter.clone());
            *published = 0;
        }
        *published += 1;
        recorder.clone()
    }
}

//! How a transition goes from step to step: the diagram of docs/releases.md. The operator's tests hold it against the
//! machine in both directions.

use super::Step;

/// A transition goes from one step to another; `None`: nothing is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// From.
    pub from: Option<Step>,
    /// To.
    pub to: Option<Step>,
    /// When, in a few words; without `:`, `;` and `#`, which Mermaid takes for its own.
    pub when: &'static str,
    /// Part of the diagram; the others are only in the table below it.
    pub is_drawn: bool,
}

const fn usual(from: Option<Step>, to: Option<Step>, when: &'static str) -> Move {
    Move {
        from,
        to,
        when,
        is_drawn: true,
    }
}

const fn rare(from: Option<Step>, to: Option<Step>, when: &'static str) -> Move {
    Move {
        from,
        to,
        when,
        is_drawn: false,
    }
}

/// All moves there are.
#[rustfmt::skip]
pub const MOVES: &[Move] = {
    use Step::{AwaitingPromotion, Deploying, Draining, MovingConnections, Proving, Soaking, StandingBy, Switching};
    &[
        usual(None, Some(Deploying), "another version or configuration is wanted"),
        rare(None, Some(StandingBy), "the status was lost, and a second slot runs"),
        rare(None, Some(Draining), "the status was lost, and a second slot runs what was rejected"),
        usual(Some(Deploying), Some(Soaking), "all pods are ready"),
        rare(Some(Deploying), Some(AwaitingPromotion), "its pods were ready for promotionDelay already"),
        rare(Some(Deploying), Some(Switching), "its pods were ready for promotionDelay already, or a promotion was asked for"),
        usual(Some(Deploying), Some(Draining), "rejected, or not wanted any more"),
        rare(Some(Deploying), Some(StandingBy), "GREEN failed before the candidate took the standby's place, which stands by again"),
        usual(Some(Soaking), Some(Deploying), "a pod is not ready any more"),
        usual(Some(Soaking), Some(AwaitingPromotion), "promotionDelay is over, and a person or another plugin is awaited"),
        usual(Some(Soaking), Some(Switching), "promotionDelay is over, or a promotion was asked for"),
        rare(Some(Soaking), Some(Draining), "rejected, or not wanted any more"),
        rare(Some(AwaitingPromotion), Some(Deploying), "a pod is not ready any more"),
        rare(Some(AwaitingPromotion), Some(Soaking), "a pod was not ready for a moment"),
        usual(Some(AwaitingPromotion), Some(Switching), "a promotion was asked for, and the others that go with it are prepared"),
        rare(Some(AwaitingPromotion), Some(Draining), "given up by a rollback, or not wanted any more"),
        usual(Some(Switching), Some(Proving), "the live Service is written"),
        rare(Some(Switching), Some(Deploying), "the candidate failed before the write"),
        rare(Some(Switching), Some(AwaitingPromotion), "before the write, another plugin that goes with it is not prepared any more"),
        rare(Some(Switching), None, "the standby failed before the write of a rollback"),
        usual(Some(Proving), Some(MovingConnections), "EndpointSlices name the new slot only"),
        usual(Some(Proving), Some(Draining), "the same, after a rollback"),
        rare(Some(Proving), Some(Switching), "rollback"),
        usual(Some(MovingConnections), Some(StandingBy), "no pod that served is left, or connectionDrain is over"),
        rare(Some(MovingConnections), Some(Switching), "rollback"),
        usual(Some(StandingBy), Some(Switching), "rollback"),
        usual(Some(StandingBy), Some(Deploying), "another version or configuration is wanted"),
        usual(Some(StandingBy), Some(Draining), "rollbackWindow is over"),
        rare(Some(Draining), Some(Deploying), "another version or configuration is wanted"),
        usual(Some(Draining), None, "the slot is empty"),
    ]
};

//! The sandbox container of every pod: holds the pod's namespaces and sleeps until it is killed.
//!
//! Every process of a pod lives in a PID namespace of its own here (no shared process namespaces), so there is nothing
//! to reap: this program has no children. PID 1 ignores signals without a handler; containerd ends it with SIGKILL
//! after the pod's containers are gone.
fn main() {
    loop {
        std::thread::park();
    }
}

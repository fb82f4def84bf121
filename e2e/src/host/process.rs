//! The processes of the parts: started detached, so that they outlive `up`; found again by their pid file.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::host::{cgroup, mounts, network};
use crate::layout::{self, Layout};
use crate::parts::Part;
use crate::wait;

/// How a part is started: all there is to know, so that it is kept in the state and used to start the part again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Environment beside the inherited one.
    pub env: BTreeMap<String, String>,
    /// Which of the stack's namespaces it runs in.
    pub place: Place,
    /// Unprivileged user, where the part refuses root.
    pub user: Option<String>,
    /// Key of the content of its configuration files: other content is another launch.
    pub configuration: String,
}

/// The namespaces that a part runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// The stack's network.
    Network,
    /// The stack's network and the node's mounts.
    Node,
}

impl Launch {
    /// A program in the stack's network, as root.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        let program: PathBuf = program.into();
        Self {
            argv: vec![program.display().to_string()],
            env: BTreeMap::new(),
            place: Place::Network,
            user: None,
            configuration: String::new(),
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<T: Into<String>>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.argv.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.insert(name.to_owned(), value.into());
        self
    }

    /// Runs it inside the node's mount namespace too.
    #[must_use]
    pub fn on_node(mut self) -> Self {
        self.place = Place::Node;
        self
    }

    /// Writes a configuration file of the part; the part is started again when the content changed.
    pub fn configured_by(mut self, file: &Path, content: &[u8]) -> Result<Self> {
        // Untouched when it is right: kube-proxy ends itself when its file is written.
        if std::fs::read(file).ok().as_deref() != Some(content) {
            layout::write(file, content)?;
        }
        self.configuration = layout::key(&[self.configuration.as_bytes(), content]);
        Ok(self)
    }

    /// Runs it as an unprivileged user.
    #[must_use]
    pub fn as_user(mut self, user: &str) -> Self {
        self.user = Some(user.to_owned());
        self
    }
}

/// The shell that a part is before it becomes its program: it enters the cgroup and leaves its pid file first, so that
/// there is no moment at which a killed `up` could lose track of it. The start time (field 22 of /proc/PID/stat) tells
/// the process from a later one that was given the same number.
const BIRTH: &str = r#"echo 0 > "$1/cgroup.procs" && echo "$$ $(cut -d' ' -f22 /proc/$$/stat)" > "$2.new" && mv "$2.new" "$2" && shift 2 && exec "$@""#;

/// Starts a part; its output is appended to its log.
pub async fn start(layout: &Layout, part: Part, launch: &Launch) -> Result<()> {
    layout.state_dir("pids")?;
    layout.state_dir("logs")?;
    layout::write_private(&launch_file(layout, part), &serde_json::to_vec_pretty(launch)?)?;
    let log = File::options()
        .create(true)
        .append(true)
        .open(layout.log(part.as_ref()))?;
    let pid_file = pid_file(layout, part);
    let _ = std::fs::remove_file(&pid_file);
    let mut command = Command::new("setsid");
    command
        .args(["sh", "-c", BIRTH, "sh"])
        .arg(cgroup::parts()?)
        .arg(&pid_file);
    command.args(["nsenter", &format!("--net={}", network::namespace_file().display())]);
    if launch.place == Place::Node {
        command.arg(format!("--mount={}", mounts::namespace_file(layout).display()));
    }
    command.arg("--");
    if let Some(user) = &launch.user {
        command.args(["setpriv", "--reuid", user, "--regid", "nogroup", "--clear-groups", "--"]);
    }
    command
        .args(&launch.argv)
        .envs(&launch.env)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {}", part.as_ref()))?;
    wait::until(part.as_ref(), Duration::from_secs(10), async || {
        anyhow::ensure!(pid_file.exists(), "it left no pid file");
        Ok(())
    })
    .await
}

/// How a part was started last; None when it never was.
pub fn last_launch(layout: &Layout, part: Part) -> Option<Launch> {
    serde_json::from_slice(&std::fs::read(launch_file(layout, part)).ok()?).ok()
}

/// Process id of a part that is alive.
pub fn pid(layout: &Layout, part: Part) -> Option<i32> {
    let text = std::fs::read_to_string(pid_file(layout, part)).ok()?;
    let (pid, started) = text.trim().split_once(' ')?;
    let pid = pid.parse().ok()?;
    (start_time(pid)? == started).then_some(pid)
}

/// How long a part has been alive.
pub fn age(layout: &Layout, part: Part) -> Option<Duration> {
    let written = std::fs::metadata(pid_file(layout, part)).ok()?.modified().ok()?;
    pid(layout, part).and(written.elapsed().ok())
}

/// Ends a part: a friendly signal, and SIGKILL when it does not listen within half a minute.
pub async fn stop(layout: &Layout, part: Part) -> Result<()> {
    let Some(number) = pid(layout, part) else { return Ok(()) };
    let process = Pid::from_raw(number);
    // PostgreSQL takes SIGTERM as "when all clients have gone".
    let friendly = if part == Part::Postgres {
        Signal::SIGINT
    } else {
        Signal::SIGTERM
    };
    kill(process, friendly).with_context(|| format!("cannot stop {}", part.as_ref()))?;
    let patience = Instant::now() + Duration::from_secs(30);
    while pid(layout, part).is_some() {
        if Instant::now() > patience {
            let _ = kill(process, Signal::SIGKILL);
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Kills a part at once and waits until it is gone.
pub async fn crash(layout: &Layout, part: Part) -> Result<()> {
    while let Some(number) = pid(layout, part) {
        // It may be gone since.
        let _ = kill(Pid::from_raw(number), Signal::SIGKILL);
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Resident memory of a process, for people.
pub fn resident_memory(pid: i32) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kilobytes: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?
        .trim()
        .strip_suffix(" kB")?
        .parse()
        .ok()?;
    Some(format!("{} MiB", kilobytes / 1024))
}

/// Name of the program of a live process.
pub fn name(pid: i32) -> Option<String> {
    start_time(pid)?;
    Some(
        std::fs::read_to_string(format!("/proc/{pid}/comm"))
            .ok()?
            .trim()
            .to_owned(),
    )
}

/// Start time of a live process; a zombie is not alive.
fn start_time(pid: i32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?;
    (state != "Z" && state != "X")
        .then(|| fields.nth(18).map(ToOwned::to_owned))
        .flatten()
}

fn pid_file(layout: &Layout, part: Part) -> PathBuf {
    layout.state.join("pids").join(part.as_ref())
}

fn launch_file(layout: &Layout, part: Part) -> PathBuf {
    layout.state.join("launch").join(format!("{}.json", part.as_ref()))
}

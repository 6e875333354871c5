//! One task for each target of a kind: started, ended, or left running by a reload.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::scheduler::Running;
use crate::config::Target;
use crate::outcome::TargetName;

/// What a task is given.
pub struct Duty<T> {
    /// What it works with: the present one, whenever it begins anew.
    pub tool: watch::Receiver<T>,
    /// Cancelled when it is to end of its own accord.
    pub leaving: CancellationToken,
}

/// The tasks, by target.
pub struct Crew<T> {
    members: HashMap<TargetName, Member<T>>,
    running: Running,
    leaving: CancellationToken,
}

struct Member<T> {
    target: Arc<Target>,
    tool: watch::Sender<T>,
    leaving: CancellationToken,
}

impl<T> Crew<T> {
    /// Nobody yet. All leave when `leaving` is cancelled.
    pub fn new(leaving: &CancellationToken) -> Self {
        let running = Running { tasks: TaskTracker::new(), abandon: CancellationToken::new() };
        Crew { members: HashMap::new(), running, leaving: leaving.clone() }
    }

    /// From now on these targets. The task of one that did not change goes on, and only gets its new tool; one that changed
    /// leaves, and another takes its place.
    pub fn assign<F>(&mut self, wanted: impl IntoIterator<Item = (Arc<Target>, T)>, start: impl Fn(&Target, Duty<T>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut before = std::mem::take(&mut self.members);
        for (target, tool) in wanted {
            let name = target.name.clone();
            let member = match before.remove(&name) {
                Some(member) if member.target == target => {
                    member.tool.send_replace(tool);
                    member
                }
                changed => {
                    if let Some(member) = changed {
                        member.leaving.cancel();
                    }
                    let (tool, duty) = watch::channel(tool);
                    let leaving = self.leaving.child_token();
                    let task = start(&target, Duty { tool: duty, leaving: leaving.clone() });
                    let abandon = self.running.abandon.clone();
                    self.running.tasks.spawn(async move {
                        abandon.run_until_cancelled(task).await;
                    });
                    Member { target, tool, leaving }
                }
            };
            self.members.insert(name, member);
        }
        for member in before.into_values() {
            member.leaving.cancel();
        }
    }

    /// Waits for all to leave, which they were told, and abandons those that take longer than `within`.
    pub async fn drain(self, within: Duration) {
        self.running.tasks.close();
        self.running.drain(within).await;
    }
}

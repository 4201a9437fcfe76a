//! Which batches go into which transaction, and when: a pure data structure.
//!
//! Two transactions of one store that touch the same key would only make each other fail. So a batch waits as long as a
//! transaction that is on its way touches one of its keys; meanwhile others join it, and they are committed together.
//! Batches that share a key keep their order, whatever their callers are.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;

use bytes::Bytes;

use crate::store::{Batch, Condition, Write};

/// Mutations of fewer bytes go to a region in one request of the client, which one-phase commit needs.
const ONE_PHASE_BYTES: usize = 16 << 10;

/// Batches that share a key go into one transaction up to this size; it has two phases and several requests, but less of
/// them than many transactions one after the other.
const TRANSACTION_BYTES: usize = 1 << 20;

/// How many transactions may be on their way.
const TRANSACTIONS: usize = 64;

/// A batch that waits, or is on its way.
#[derive(Debug)]
pub(super) struct Job<T> {
    pub(super) batch: Batch,
    /// Whoever waits for the verdict.
    pub(super) caller: T,
    keys: Vec<Bytes>,
    bytes: usize,
}

impl<T> Job<T> {
    /// `entry_bytes` is what the store adds to each entry.
    pub(super) fn new(batch: Batch, caller: T, entry_bytes: usize) -> Self {
        let conditions = batch.conditions.iter().map(|condition| match condition {
            Condition::Equals(key, value) => (key, value.len()),
            Condition::Absent(key) | Condition::Present(key) => (key, 0),
        });
        let writes = batch.writes.iter().map(|write| match write {
            Write::Put(key, value) => (key, value.len()),
            Write::Delete(key) => (key, 0),
        });
        // What is written under a key counts, else its guard.
        let mut sizes = HashMap::<&Bytes, usize>::new();
        for (key, bytes) in conditions.chain(writes) {
            sizes.insert(key, key.len() + bytes + entry_bytes);
        }
        Job {
            bytes: sizes.values().sum(),
            keys: sizes.into_keys().cloned().collect(),
            batch,
            caller,
        }
    }
}

/// What waits and what is on its way.
#[derive(Debug)]
pub(super) struct Schedule<T> {
    waiting: VecDeque<Job<T>>,
    /// The keys of transactions that are on their way.
    busy: HashSet<Bytes>,
    running: usize,
}

impl<T> Default for Schedule<T> {
    fn default() -> Self {
        Schedule {
            waiting: VecDeque::new(),
            busy: HashSet::new(),
            running: 0,
        }
    }
}

impl<T> Schedule<T> {
    /// Takes a job, and says whether something may begin with it. It cannot while a transaction on its way has one of its
    /// keys; to look at all that waits for each job that comes would cost the square of their number.
    pub(super) fn push(&mut self, job: Job<T>) -> bool {
        let may_begin = !job.keys.iter().any(|key| self.busy.contains(key));
        self.waiting.push_back(job);
        may_begin
    }

    /// Puts jobs of a transaction that is about to end back to the head of the queue, in their order.
    pub(super) fn push_back_to_head(&mut self, jobs: Vec<Job<T>>) {
        for job in jobs.into_iter().rev() {
            self.waiting.push_front(job);
        }
    }

    /// Takes the transactions that can begin now. Each must be given back to [`Schedule::end`].
    pub(super) fn begin(&mut self) -> Vec<Vec<Job<T>>> {
        let free = TRANSACTIONS - self.running;
        if free == 0 || self.waiting.is_empty() {
            return Vec::new();
        }
        let plan = self.plan();
        let mut groups = plan.pack(free, &self.waiting);
        // Each job is in one group at most.
        let mut jobs: Vec<Option<Job<T>>> = self.waiting.drain(..).map(Some).collect();
        let mut transactions = Vec::with_capacity(groups.len());
        for group in &mut groups {
            group.sort_unstable();
            let taken: Vec<Job<T>> = group.iter().filter_map(|index| jobs[*index].take()).collect();
            for key in taken.iter().flat_map(|job| &job.keys) {
                self.busy.insert(key.clone());
            }
            transactions.push(taken);
        }
        self.waiting.extend(jobs.into_iter().flatten());
        self.running += transactions.len();
        transactions
    }

    /// A transaction has ended: its keys are free.
    pub(super) fn end<'a>(&mut self, keys: impl IntoIterator<Item = &'a Bytes>) {
        for key in keys {
            self.busy.remove(key);
        }
        self.running -= 1;
    }

    /// Puts jobs together that share keys.
    fn plan(&self) -> Plan {
        let mut plan = Plan::default();
        // What a job that cannot go touches, no later one may touch: they would change places.
        let mut blocked = HashSet::<&Bytes>::new();
        let mut owner = HashMap::<&Bytes, usize>::new();
        for (index, job) in self.waiting.iter().enumerate() {
            let is_free = |key: &Bytes| !self.busy.contains(key) && !blocked.contains(key);
            if job.keys.iter().all(is_free) {
                let others: HashSet<usize> =
                    distinct(job.keys.iter().filter_map(|key| owner.get(key)).copied());
                if let Some(group) = plan.join(&others, index, job.bytes) {
                    for other in others.iter().filter(|other| **other != group) {
                        for owned in owner.values_mut().filter(|owned| *owned == other) {
                            *owned = group;
                        }
                    }
                    owner.extend(job.keys.iter().map(|key| (key, group)));
                    continue;
                }
            }
            blocked.extend(&job.keys);
        }
        plan
    }
}

impl<T> Job<T> {
    pub(super) fn keys(&self) -> &[Bytes] {
        &self.keys
    }

    /// Whether the verdicts may be others if the two change their places: one writes what the other one touches.
    pub(super) fn depends_on(&self, other: &Job<T>) -> bool {
        self.writes_a_key_of(other) || other.writes_a_key_of(self)
    }

    fn writes_a_key_of(&self, other: &Job<T>) -> bool {
        self.batch.writes.iter().any(|write| {
            let (Write::Put(key, _) | Write::Delete(key)) = write;
            other.keys.contains(key)
        })
    }
}

fn distinct<V: Eq + Hash>(values: impl Iterator<Item = V>) -> HashSet<V> {
    values.collect()
}

/// Groups of jobs that share keys.
#[derive(Debug, Default)]
struct Plan {
    groups: Vec<Group>,
}

#[derive(Debug, Default)]
struct Group {
    jobs: Vec<usize>,
    bytes: usize,
}

impl Plan {
    /// Adds a job to the groups that it shares keys with, which become one; or says that this would be too large.
    fn join(&mut self, others: &HashSet<usize>, job: usize, bytes: usize) -> Option<usize> {
        let together = bytes
            + others
                .iter()
                .map(|other| self.groups[*other].bytes)
                .sum::<usize>();
        if !others.is_empty() && together > TRANSACTION_BYTES {
            return None;
        }
        let group = match others.iter().max_by_key(|other| self.groups[**other].jobs.len()) {
            Some(group) => *group,
            None => {
                self.groups.push(Group::default());
                self.groups.len() - 1
            }
        };
        for other in others.iter().filter(|other| **other != group) {
            let jobs = std::mem::take(&mut self.groups[*other]).jobs;
            self.groups[group].jobs.extend(jobs);
        }
        self.groups[group].jobs.push(job);
        self.groups[group].bytes = together;
        Some(group)
    }

    /// Packs small groups together, as long as one-phase commit is possible, and gives at most `limit` of them. Groups
    /// whose keys are neighbours go together: they are likely to be in one region.
    fn pack<T>(self, limit: usize, jobs: &VecDeque<Job<T>>) -> Vec<Vec<usize>> {
        let mut groups: Vec<_> = self
            .groups
            .into_iter()
            .filter(|group| !group.jobs.is_empty())
            .collect();
        let first_key = |group: &Group| group.jobs.iter().flat_map(|job| &jobs[*job].keys).min();
        groups.sort_by(|a, b| first_key(a).cmp(&first_key(b)));
        let mut packed = Vec::<Group>::new();
        for group in groups {
            if let Some(last) = packed.last_mut()
                && last.bytes + group.bytes < ONE_PHASE_BYTES
            {
                last.jobs.extend(group.jobs);
                last.bytes += group.bytes;
            } else if packed.len() < limit {
                packed.push(group);
            } else {
                break;
            }
        }
        packed.into_iter().map(|group| group.jobs).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    /// A job that writes these keys, with values of so many bytes.
    fn job(name: &'static str, keys: &[&str], bytes: usize) -> Job<&'static str> {
        let put = |name: &&str| Write::Put(key(name), Bytes::from(vec![0; bytes]));
        let batch = Batch {
            conditions: vec![],
            writes: keys.iter().map(put).collect(),
        };
        Job::new(batch, name, 10)
    }

    fn names(transactions: &[Vec<Job<&'static str>>]) -> Vec<Vec<&'static str>> {
        let mut names: Vec<Vec<_>> = transactions
            .iter()
            .map(|jobs| jobs.iter().map(|job| job.caller).collect())
            .collect();
        names.sort();
        names
    }

    fn end(schedule: &mut Schedule<&'static str>, jobs: &[Job<&'static str>]) {
        schedule.end(jobs.iter().flat_map(|job| job.keys()));
    }

    #[test]
    fn small_jobs_go_together() {
        let mut schedule = Schedule::default();
        for (name, keys) in [("1", ["a", "b"]), ("2", ["c", "d"]), ("3", ["b", "e"])] {
            schedule.push(job(name, &keys, 100));
        }
        assert_eq!(names(&schedule.begin()), [["1", "2", "3"]]);
    }

    #[test]
    fn large_jobs_without_common_keys_go_apart() {
        let mut schedule = Schedule::default();
        for (name, keys) in [("1", ["a"]), ("2", ["b"]), ("3", ["c"])] {
            schedule.push(job(name, &keys, 10_000));
        }
        assert_eq!(names(&schedule.begin()), [["1"], ["2"], ["3"]]);
    }

    #[test]
    fn common_keys_go_together_up_to_a_limit_and_in_order() {
        let mut schedule = Schedule::default();
        for (name, keys) in [("1", ["a"]), ("2", ["b"])] {
            schedule.push(job(name, &keys, 400_000));
        }
        // It makes one group of the two, which is full then.
        schedule.push(job("3", &["a", "b"], 10));
        schedule.push(job("4", &["a"], 400_000));
        // Behind "4", though it is small.
        schedule.push(job("5", &["a"], 10));
        schedule.push(job("6", &["f"], 10));
        let first = schedule.begin();
        assert_eq!(names(&first), [vec!["1", "2", "3"], vec!["6"]]);
        assert!(schedule.begin().is_empty(), "their keys are busy");
        for jobs in &first {
            end(&mut schedule, jobs);
        }
        assert_eq!(names(&schedule.begin()), [["4", "5"]]);
    }

    #[test]
    fn a_job_does_not_overtake_one_that_waits_for_another_key() {
        let mut schedule = Schedule::default();
        schedule.push(job("1", &["a"], 10));
        let first = schedule.begin();
        schedule.push(job("2", &["a", "b"], 10));
        schedule.push(job("3", &["b"], 10));
        schedule.push(job("4", &["c"], 10));
        assert_eq!(names(&schedule.begin()), [["4"]]);
        end(&mut schedule, &first[0]);
        assert_eq!(names(&schedule.begin()), [["2", "3"]]);
    }

    #[test]
    fn conditions_count_as_keys() {
        let mut schedule = Schedule::default();
        let fenced = |name: &'static str, write: &str| {
            let batch = Batch {
                conditions: vec![Condition::Equals(key("fence"), key("1"))],
                writes: vec![Write::Delete(key(write))],
            };
            Job::new(batch, name, 10)
        };
        schedule.push(fenced("1", "a"));
        let first = schedule.begin();
        for (name, write) in [("2", "b"), ("3", "c")] {
            schedule.push(fenced(name, write));
        }
        assert!(schedule.begin().is_empty());
        end(&mut schedule, &first[0]);
        assert_eq!(names(&schedule.begin()), [["2", "3"]]);
    }

    #[test]
    fn not_too_many_at_once() {
        let mut schedule = Schedule::default();
        for number in 0..TRANSACTIONS + 5 {
            schedule.push(job("x", &[&format!("{number}")], 20_000));
        }
        let first = schedule.begin();
        assert_eq!(first.len(), TRANSACTIONS);
        assert!(schedule.begin().is_empty());
        for jobs in &first {
            end(&mut schedule, jobs);
        }
        assert_eq!(schedule.begin().len(), 5);
    }
}

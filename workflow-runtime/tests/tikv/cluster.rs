//! Starts the test cluster, injects its faults, and kills it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use workflow_runtime::store::{TikvStore, TikvStoreBuilder};

/// Names the PDs of a real cluster.
pub(crate) const ENDPOINTS: &str = "TIKV_PD_ENDPOINTS";
/// The program of the test cluster, where it is not in its usual place.
const PROGRAM: &str = "TIKV_CLUSTER_PROGRAM";

/// A process of `tests/tikv-cluster` with its folder. It ends when its standard input does: with this process.
pub(crate) struct Cluster {
    folder: tempfile::TempDir,
    sync: bool,
    process: Process,
}

struct Process {
    child: Child,
    _stdin: ChildStdin,
    pd: String,
    store: String,
    admin: String,
}

fn program() -> PathBuf {
    if let Some(program) = std::env::var_os(PROGRAM) {
        return program.into();
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target"),
        PathBuf::from,
    );
    target.join("tikv-cluster/tikv-cluster")
}

fn port(address: &str) -> &str {
    address.rsplit_once(':').unwrap().1
}

impl Process {
    fn start(folder: &std::path::Path, sync: bool, ports: Option<[&str; 3]>) -> Self {
        let program = program();
        let mut command = Command::new(&program);
        command.arg("-data").arg(folder).arg("-with-stdin");
        if sync {
            command.arg("-sync");
        }
        if let Some([pd, store, admin]) = ports {
            command.args(["-pd-port", pd, "-store-port", store, "-admin-port", admin]);
        }
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|error| {
            panic!(
                "{error}: `{}`; build the test cluster with `./cluster build`, which needs Go, or set {ENDPOINTS}",
                program.display()
            )
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let value = |name: &str| {
            let found = line
                .split_whitespace()
                .find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            found
                .unwrap_or_else(|| panic!("the cluster says {line:?}"))
                .to_owned()
        };
        Process {
            pd: value("pd"),
            store: value("store"),
            admin: value("admin"),
            _stdin: child.stdin.take().unwrap(),
            child,
        }
    }
}

impl Cluster {
    /// A cluster of its own, for tests that disturb it; none where a real cluster is to be tested.
    pub(crate) fn own(sync: bool) -> Option<Self> {
        if std::env::var_os(ENDPOINTS).is_some() {
            println!("skipped: a real cluster has no switches for faults");
            return None;
        }
        Some(Self::start(sync))
    }

    fn start(sync: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let process = Process::start(folder.path(), sync, None);
        Cluster {
            folder,
            sync,
            process,
        }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.process.pd
    }

    /// SIGKILL, and a new process on the same folder and ports.
    pub(crate) fn kill_and_start(&mut self) {
        self.kill();
        let old = &self.process;
        let ports = [&old.pd, &old.store, &old.admin].map(|address| port(address).to_owned());
        let ports = [&ports[0], &ports[1], &ports[2]].map(String::as_str);
        self.process = Process::start(self.folder.path(), self.sync, Some(ports));
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.child.kill().unwrap();
        self.process.child.wait().unwrap();
    }

    /// Asks the admin interface.
    fn ask(&self, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.process.admin).unwrap();
        let request = format!("{method} {path} HTTP/1.0\r\nHost: cluster\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(
            head.split_whitespace().nth(1) == Some("200"),
            "{method} {path}: {response}"
        );
        body.to_owned()
    }

    /// Injects a fault into the next `count` requests `rpc`, after `skip` of them.
    pub(crate) fn inject(&self, rpc: &str, kind: &str, skip: u32, count: u32, milliseconds: u32) {
        let path = format!("/fault?rpc={rpc}&kind={kind}&skip={skip}&count={count}&ms={milliseconds}");
        self.ask("POST", &path);
    }

    pub(crate) fn clear_faults(&self) {
        self.ask("POST", "/clear");
    }

    /// How many faults have hit a request.
    pub(crate) fn injected(&self) -> u64 {
        let statistics: serde_json::Value = serde_json::from_str(&self.ask("GET", "/stats")).unwrap();
        statistics["injected"].as_u64().unwrap()
    }

    /// Lets a region begin with a key of a deployment.
    pub(crate) fn split(&self, deployment: &str, key: &str) {
        let full = format!("w{deployment}\0\x01{key}");
        let hex: String = full.bytes().map(|byte| format!("{byte:02x}")).collect();
        self.ask("POST", &format!("/split?key={hex}"));
    }

    pub(crate) fn restart_store(&self, down_ms: u32) {
        self.ask("POST", &format!("/restart?service=store&ms={down_ms}"));
    }

    pub(crate) fn restart_pd(&self, down_ms: u32) {
        self.ask("POST", &format!("/restart?service=pd&ms={down_ms}"));
    }

    pub(crate) fn store(&self, deployment: &str) -> TikvStoreBuilder {
        TikvStore::builder([self.endpoint()]).deployment(deployment)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.process.child.kill();
        let _ = self.process.child.wait();
    }
}

/// The cluster that tests share which do not disturb it, and its switches if it has any.
pub(crate) fn shared() -> (Vec<String>, Option<&'static Cluster>) {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    if let Ok(endpoints) = std::env::var(ENDPOINTS) {
        return (endpoints.split(',').map(str::to_owned).collect(), None);
    }
    let cluster = SHARED.get_or_init(|| Cluster::start(false));
    (vec![cluster.endpoint().to_owned()], Some(cluster))
}

/// A deployment that nobody has used before.
pub(crate) fn fresh_name(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
    format!(
        "{what}-{time:x}-{:x}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

/// A store in the shared cluster, with nothing in it.
pub(crate) async fn fresh_store(what: &str) -> TikvStore {
    TikvStore::builder(shared().0)
        .deployment(fresh_name(what))
        .connect()
        .await
        .unwrap()
}
